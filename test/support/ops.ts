// Helpers for the tests of operations: every device, random numbers, graphs of a few rows, and comparison with the definitions.
import { afterAll, beforeAll, beforeEach, describe, expect } from "vitest";
import type { NewTensors } from "../../lib/graph/call.ts";
import type { OutputTypes } from "../../lib/graph/ops.ts";
import {
  type Device,
  type DType,
  Graph,
  GraphBuilder,
  ParameterStore,
  type Precision,
  Tensor,
  type Value,
} from "../../lib/index.ts";
import type { Numbers } from "../reference.ts";
import { expectClose as expectCloseTo } from "./compare.ts";
import { devices, roundingError } from "./devices.ts";

type Arrays = Record<string, Tensor<"float32"> | Tensor<"uint8">>;

/** Each test draws the same numbers, whatever ran before it. With this seed no sum nearly vanishes. */
let seed: number;
beforeEach(() => {
  seed = 100;
});

export function randn(...shape: number[]): Tensor {
  return Tensor.randn(shape, seed++);
}

export function wide({ shape, data }: Tensor<DType>): Numbers {
  return { shape, data: Float64Array.from(data as Float32Array) };
}

/** The device under test. Its precision follows. */
export let device: Device;
let precision: Precision;

export function expectClose(actual: Tensor, truth: Numbers, tolerance = 1e-6): void {
  expectCloseTo(actual, truth, Math.max(tolerance, roundingError[precision]!));
}

/** Winograd's transforms round more often than a direct convolution does. */
export const convolutionError = 6e-6;

/** A precise convolution rounds less: without `precise` the tests that use this bound would fail. */
export const preciseError = 1.5e-6;

/** Records a graph of the given inputs and parameters, runs it and returns its outputs. */
export async function compute<Outputs extends OutputTypes>(
  inputs: Arrays,
  parameters: Arrays,
  record: (
    builder: GraphBuilder,
    v: Record<string, Value>,
    p: Record<string, never>,
  ) => { readonly [Name in keyof Outputs]: Value<Outputs[Name]> },
): Promise<NewTensors<Outputs>> {
  const builder = new GraphBuilder();
  const values = Object.fromEntries(
    Object.entries(inputs).map(([name, { shape, dtype }]) => [
      name,
      builder.input(name, shape.slice(1), dtype as "float32"),
    ]),
  );
  const recorded = Object.fromEntries(
    Object.entries(parameters).map(([name, { shape }]) => [name, builder.parameter(name, shape)]),
  ) as Record<string, never>;
  const finished = builder.finish(record(builder, values, recorded));
  const store = new ParameterStore(device, finished.parameters, precision);
  const graph = Graph.compile(device, finished, store);
  try {
    for (const [name, tensor] of Object.entries(parameters))
      await graph.parameters.set(name, tensor);
    return await graph.run(inputs);
  } finally {
    await graph.dispose();
    await store.dispose();
  }
}

/** Runs the tests of `body` on each device. */
export function describeOnEach(body: () => void): void {
  describe.each(devices)("on $name", ({ open, precision: its }) => {
    beforeAll(async () => {
      device = await open();
      precision = its;
    });
    afterAll(() => {
      // A graph's memory is freed with it.
      expect(device.memoryStats()).toMatchObject({
        queuedBytes: 0,
        parameterBytes: 0,
        activationBytes: 0,
        tensorBytes: 0,
      });
      device.dispose();
    });
    body();
  });
}
