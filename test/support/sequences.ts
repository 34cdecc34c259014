// Random sequences of calls on three models of one device, compared with an oracle that runs them one after the other.
import fc from "fast-check";
import {
  type AnyTensor,
  type Device,
  DeviceTensor,
  type DType,
  Graph,
  GraphBuilder,
  ParameterStore,
  Tensor,
} from "../../lib/index.ts";

const inputSize = 4;
const outputSize = 3;
const sizes = { weight: inputSize * outputSize, bias: outputSize } as const;
const shapes = { weight: [outputSize, inputSize], bias: [outputSize] } as const;
type Name = keyof typeof sizes;
const names = Object.keys(sizes) as Name[];

/** Small whole numbers, so that every sum is exact in any order and on any device. */
const number = fc.integer({ min: -8, max: 8 });
const model = fc.nat({ max: 2 });
const tensor = fc.nat({ max: 1 });
const name = fc.constantFrom(...names);

/** One call. Its arrays are overwritten afterwards, which must not change its result. */
export const command = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("run"), model, value: number }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("runInto"), model, value: number, to: tensor }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("runFrom"), model, from: tensor }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("runOnDevice"), model, from: tensor, to: tensor }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("abort"),
      model,
      value: number,
      after: fc.nat({ max: 5 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("profile"), model, value: number }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("prepare"),
      model,
      batch: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("write"), to: tensor, value: number }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("readInput"), from: tensor }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("readOutput"), from: tensor }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("disposeInput"), from: tensor }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("disposeOutput"), from: tensor }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("set"), model, name, value: number }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("setAll"), model, value: number }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("setPieces"),
      model,
      name,
      value: number,
      delay: fc.nat({ max: 2 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("fill"), model, name, value: number }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("get"), model, name }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("getAll"), model }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("disposeModel"), model }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("pause") }) },
);
export type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

/** A model, and the oracle's values after the calls so far. */
interface Model {
  readonly store: ParameterStore;
  readonly graph: Graph;
  readonly values: Record<Name, number[]>;
  isDisposed: boolean;
}

interface OnDevice {
  tensor: DeviceTensor;
  values: number[];
  isDisposed: boolean;
}

/** Values that differ from element to element. */
const spread = (value: number, count: number) =>
  Array.from({ length: count }, (_, index) => ((value * (index + 1) + index) % 17) - 8);

const tensorOf = (values: readonly number[], shape: readonly number[]) =>
  new Tensor(shape, Float32Array.from(values));

const pause = () => new Promise((resolve) => setImmediate(resolve));

async function openModel(device: Device): Promise<Model> {
  const builder = new GraphBuilder();
  const x = builder.input("x", [inputSize]);
  const weight = builder.parameter("weight", shapes.weight);
  const bias = builder.parameter("bias", shapes.bias);
  const record = builder.finish({ y: builder.gemm(x, weight, { bias }) });
  const store = new ParameterStore(device, record.parameters);
  const graph = Graph.compile(device, record, store);
  const values = { weight: spread(1, sizes.weight), bias: spread(2, sizes.bias) };
  for (const name of names) await store.set(name, tensorOf(values[name], shapes[name]));
  return { store, graph, values, isDisposed: false };
}

async function openTensor(device: Device, size: number): Promise<OnDevice> {
  const values = spread(3, size);
  const tensor = DeviceTensor.allocate(device, [1, size]);
  await tensor.write(tensorOf(values, [1, size]));
  return { tensor, values, isDisposed: false };
}

const product = ({ weight, bias }: Record<Name, number[]>, x: readonly number[]) =>
  bias.map((sum, row) =>
    x.reduce((sum, value, column) => sum + value * weight[row * inputSize + column]!, sum),
  );

function check(what: string, actual: ArrayLike<number>, expected: readonly number[]): void {
  const numbers = Array.from(actual);
  if (
    numbers.length !== expected.length ||
    numbers.some((value, index) => value !== expected[index])
  )
    throw new Error(`Expected ${expected.join(" ")} of ${what} but received ${numbers.join(" ")}`);
}

/** Makes all calls of a sequence without awaiting any before the next. @throws the first result that differs from the oracle */
export async function runSequence(device: Device, commands: readonly Command[]): Promise<void> {
  const before = bytesOn(device);
  const models = [await openModel(device), await openModel(device), await openModel(device)];
  const inputs = [await openTensor(device, inputSize), await openTensor(device, inputSize)];
  const outputs = [await openTensor(device, outputSize), await openTensor(device, outputSize)];
  const disposed = (error: { code?: string }) => {
    if (error.code !== "DISPOSED") throw error;
  };
  const ended: Promise<unknown>[] = [];
  const laterAborts: { controller: AbortController; after: number }[] = [];
  /** Makes the call and expects a value that `verify` accepts, or the error DISPOSED. */
  function expectOf<T>(call: () => Promise<T>, isLive: boolean, verify: (value: T) => void): void {
    const promise = call();
    ended.push(
      isLive
        ? promise.then(verify)
        : promise.then(() => {
            throw new Error("Expected DISPOSED");
          }, disposed),
    );
  }
  const logits = ({ y }: Record<string, AnyTensor | DeviceTensor<DType>>) =>
    (y as Tensor).data as Float32Array;

  for (const [index, call] of commands.entries()) {
    const what = `call ${index}, ${call.kind},`;
    const its = "model" in call ? models[call.model]! : models[0]!;
    const { graph, store } = its;
    const x = spread("value" in call ? call.value : 0, inputSize);
    const given = tensorOf(x, [1, inputSize]);
    const from = "from" in call ? inputs[call.from]! : inputs[0]!;
    const to = "to" in call ? outputs[call.to]! : outputs[0]!;
    if (call.kind === "run") {
      const expected = product(its.values, x);
      expectOf(
        () => graph.run({ x: given }),
        !its.isDisposed,
        (result) => check(what, logits(result), expected),
      );
    } else if (call.kind === "profile") {
      const expected = product(its.values, x);
      const options = { warmup: 0, iterations: 1 };
      expectOf(
        () => graph.profile({ x: given }, options),
        !its.isDisposed,
        ({ outputs }) => check(what, logits(outputs), expected),
      );
    } else if (call.kind === "runInto") {
      const isLive = !its.isDisposed && !to.isDisposed;
      if (isLive) to.values = product(its.values, x);
      expectOf(
        () => graph.run({ x: given }, { into: { y: to.tensor } }),
        isLive,
        () => {},
      );
    } else if (call.kind === "runFrom") {
      const expected = product(its.values, from.values);
      expectOf(
        () => graph.run({ x: from.tensor }),
        !its.isDisposed && !from.isDisposed,
        (result) => check(what, logits(result), expected),
      );
    } else if (call.kind === "runOnDevice") {
      const isLive = !its.isDisposed && !from.isDisposed && !to.isDisposed;
      if (isLive) to.values = product(its.values, from.values);
      expectOf(
        () => graph.run({ x: from.tensor }, { into: { y: to.tensor } }),
        isLive,
        () => {},
      );
    } else if (call.kind === "abort") {
      const controller = new AbortController();
      const expected = product(its.values, x);
      const isLive = !its.isDisposed;
      const running = graph.run({ x: given }, { signal: controller.signal });
      ended.push(
        running.then(
          (result) => check(what, logits(result), expected),
          (error) => {
            if (error !== "stop" && (isLive || error.code !== "DISPOSED")) throw error;
          },
        ),
      );
      laterAborts.push({ controller, after: index + call.after });
    } else if (call.kind === "prepare") {
      expectOf(
        () => graph.prepare(call.batch),
        !its.isDisposed,
        () => {},
      );
    } else if (call.kind === "write") {
      const tensor = inputs[call.to]!;
      if (!tensor.isDisposed) tensor.values = x;
      expectOf(
        () => tensor.tensor.write(given),
        !tensor.isDisposed,
        () => {},
      );
    } else if (call.kind === "readInput" || call.kind === "readOutput") {
      const { tensor, values, isDisposed } = (call.kind === "readInput" ? inputs : outputs)[
        call.from
      ]!;
      expectOf(
        () => tensor.read(),
        !isDisposed,
        ({ data }) => check(what, data as Float32Array, values),
      );
    } else if (call.kind === "disposeInput" || call.kind === "disposeOutput") {
      const tensor = (call.kind === "disposeInput" ? inputs : outputs)[call.from]!;
      tensor.tensor.dispose();
      tensor.isDisposed = true;
    } else if (call.kind === "set") {
      const values = spread(call.value, sizes[call.name]);
      const tensor = tensorOf(values, shapes[call.name]);
      if (!its.isDisposed) its.values[call.name] = values;
      expectOf(
        () => store.set(call.name, tensor),
        !its.isDisposed,
        () => {},
      );
      tensor.data.fill(99 as never);
    } else if (call.kind === "setAll") {
      const all = new Map(
        names.map((name) => [
          name,
          tensorOf(spread(call.value + sizes[name], sizes[name]), shapes[name]),
        ]),
      );
      if (!its.isDisposed)
        for (const name of names) its.values[name] = spread(call.value + sizes[name], sizes[name]);
      expectOf(
        () => store.setAll(all),
        !its.isDisposed,
        () => {},
      );
      for (const { data } of all.values()) data.fill(99 as never);
    } else if (call.kind === "setPieces") {
      const values = spread(call.value, sizes[call.name]);
      if (!its.isDisposed) its.values[call.name] = values;
      const pieces = async function* () {
        for (const value of values) {
          for (let i = 0; i < call.delay; i++) await pause();
          yield new Uint8Array(Float32Array.of(value).buffer);
        }
      };
      expectOf(
        () => store.setPieces(call.name, "float32", pieces()),
        !its.isDisposed,
        () => {},
      );
    } else if (call.kind === "fill") {
      if (!its.isDisposed) its.values[call.name] = new Array(sizes[call.name]).fill(call.value);
      expectOf(
        () => store.fill(call.name, call.value),
        !its.isDisposed,
        () => {},
      );
    } else if (call.kind === "get") {
      const expected = its.values[call.name];
      expectOf(
        () => store.get(call.name),
        !its.isDisposed,
        ({ data }) => check(what, data as Float32Array, expected),
      );
    } else if (call.kind === "getAll") {
      const expected = { ...its.values };
      expectOf(
        () => store.getAll(),
        !its.isDisposed,
        (all) => {
          for (const name of names)
            check(`${what} ${name}`, all.get(name)!.data as Float32Array, expected[name]);
        },
      );
    } else if (call.kind === "disposeModel") {
      its.isDisposed = true;
      ended.push(graph.dispose(), store.dispose());
    } else {
      await pause();
    }
    given.data.fill(99 as never);
    for (const { controller, after } of laterAborts) if (after === index) controller.abort("stop");
  }
  for (const { controller } of laterAborts) controller.abort("stop");
  const results = await Promise.allSettled(ended);
  for (const { tensor } of [...inputs, ...outputs]) tensor.dispose();
  for (const { graph, store, isDisposed } of models) {
    if (!isDisposed) await Promise.all([graph.dispose(), store.dispose()]);
  }
  const failure = results.find((result) => result.status === "rejected");
  if (failure !== undefined) throw failure.reason;
  check("what is left", await settled(device, before), before);
}

const bytesOn = (device: Device): number[] => {
  const { queuedBytes, parameterBytes, activationBytes, tensorBytes } = device.memoryStats();
  return [queuedBytes, parameterBytes, activationBytes, tensorBytes];
};

/** Waits for the expected bytes in use, or gives up. A GPU's thread frees some after a call has settled. */
async function settled(device: Device, expected: readonly number[]): Promise<number[]> {
  for (let i = 0; i < 100 && String(bytesOn(device)) !== String(expected); i++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  return bytesOn(device);
}
