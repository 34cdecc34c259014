// What tests on the fake GPU share with their child processes: its control block, and a small network for any build of the package.
import { openSync, readSync, writeSync } from "node:fs";

export const shape = [1, 3, 32, 32];

// The fields of test/fake-cuda/control.h by their offsets.
const offsets = {
  calls: 8,
  failAt: 16,
  failKind: 24,
  delayMicroseconds: 40,
  misuseCount: 48,
  deviceAllocations: 56,
  pinnedAllocations: 64,
  events: 80,
  graphExecs: 104,
  cudnnDescriptors: 128,
  cublasLtObjects: 136,
  kernelLaunches: 176,
  cudnnExecutions: 184,
  matmuls: 192,
  graphLaunches: 200,
  copies: 208,
  compilations: 216,
};

/** Opens the control block. `control(name)` reads a field and `control(name, value)` sets it. */
export function openControl(path) {
  const file = openSync(path, "r+");
  const control = (name, value) => {
    const buffer = new BigInt64Array(1);
    if (value !== undefined) {
      buffer[0] = BigInt(value);
      writeSync(file, buffer, 0, 8, offsets[name]);
    }
    readSync(file, buffer, 0, 8, offsets[name]);
    return Number(buffer[0]);
  };
  /** What is alive on the GPU. */
  const counts = () =>
    Object.fromEntries(
      ["deviceAllocations", "events", "graphExecs", "cudnnDescriptors", "cublasLtObjects"].map(
        (name) => [name, control(name)],
      ),
    );
  return { file, control, counts };
}

/** Has every kind of step in a few thousand multiplications. The linear layers of a VGG take the fake GPU seconds. */
export async function makeNetwork(library, device, { seed = 0, precision = "float16" } = {}) {
  const { Graph, GraphBuilder, ParameterStore } = library;
  const b = new GraphBuilder();
  const p = (name, ...dimensions) => b.parameter(name, dimensions);
  let y = b.input("x", [3, 32, 32]);
  y = b.conv2d(y, p("a", 16, 3, 3, 3), { bias: p("b", 16), padding: 1, relu: true });
  y = b.maxPool2d(y, { size: 2, stride: 2 });
  y = b.conv2d(y, p("c", 24, 16, 3, 3), { bias: p("d", 24), padding: 1, relu: true });
  y = b.adaptiveAvgPool2d(y, [4, 4]);
  y = b.gemm(b.flatten(y), p("e", 10, 384), { bias: p("f", 10) });
  const record = b.finish({ y });
  const store = new ParameterStore(device, record.parameters, precision);
  const graph = Graph.compile(device, record, store);
  for (const [i, name] of ["a", "b", "c", "d", "e", "f"].entries())
    await store.fillNormal(name, 0.2, seed, i);
  return {
    device,
    store,
    record,
    forward: async (x, options) => (await graph.run({ x }, options)).y,
    profile: (x, options) => graph.profile({ x }, options),
    dispose: async () => {
      await graph.dispose();
      await store.dispose();
    },
  };
}

/** Returns the name, code and message of the error, or null if there is no error. */
export const caught = (promise) =>
  promise.then(
    () => null,
    ({ name, code, message }) => ({ name, code, message }),
  );
