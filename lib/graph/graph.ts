// A record compiled for a device, with one executable for each batch size in use.
import { checkInteger, privateConstructor, rangeError, readOptions, typeError } from "../check.js";
import { Device } from "../device/device.js";
import { awaitNative, callNative, VggError } from "../errors.js";
import { inspectKey } from "../inspect.js";
import type {
  NativeCancellation,
  NativeDevice,
  NativeGraph,
  NativeReservation,
  NativeRunTime,
  NativeStepTime,
} from "../native/addon.js";
import { inTurn, type Line, mustWait, waitWithCopies } from "../order.js";
import { byteCount } from "../tensor.js";
import {
  type AnyResults,
  type Call,
  cancellable,
  checkCall,
  copyTensor,
  describePorts,
  failureOf,
  type Inputs,
  makeResults,
  type NativeInputs,
  type NativeMethod,
  type NewTensors,
  type Port,
  type Ran,
  type Results,
  type RunOptions,
  readInputs,
  type Targets,
} from "./call.js";
import { checkRecord } from "./finished.js";
import { nativeRecordOf } from "./native-record.js";
import type { GraphRecord, OutputTypes, ValueId } from "./ops.js";
import { ParameterStore } from "./parameter-store.js";
import { describeSteps, type GraphProfile, type ProfileOptions } from "./profile.js";

/**
 * A record that a device can run.
 * @example
 * const device = await openDevice("cpu");
 * const graph = Graph.compile(device, record);
 * await graph.parameters.fillNormal("weight", 0.1);
 * const { y } = await graph.run({ x: Tensor.randn([1, 3, 32, 32]) });
 * await graph.dispose();
 */
export class Graph<Outputs extends OutputTypes = OutputTypes> {
  /** The device that runs it. */
  readonly device: Device;
  /** The record that was compiled. */
  readonly record: GraphRecord<Outputs>;
  /** The numbers of its parameters. */
  readonly parameters: ParameterStore;
  readonly #inputs: readonly Port[];
  readonly #outputs: readonly Port[];
  readonly #inputNames: readonly string[];
  readonly #nativeDevice: NativeDevice;
  #native: NativeGraph;
  #disposal: Promise<void> | null = null;
  #ownsParameters: boolean;

  /**
   * Prepares a record for a device.
   * @param parameters to share with other graphs; default: new ones, disposed with the graph
   * @throws {TypeError|RangeError} not a record of `GraphBuilder.finish`; parameters of another device or shape
   * @throws {VggError} DISPOSED
   * @example const graph = Graph.compile(await openDevice(), record);
   */
  static compile<Outputs extends OutputTypes>(
    device: Device,
    record: GraphRecord<Outputs>,
    parameters?: ParameterStore,
  ): Graph<Outputs> {
    if (!(device instanceof Device)) throw typeError("a Device", "device", device);
    checkRecord(record);
    if (parameters !== undefined) {
      if (!(parameters instanceof ParameterStore))
        throw typeError("a ParameterStore", "parameters", parameters);
      if (!parameters.device.isSameAs(device)) {
        throw rangeError(`parameters on ${device}`, "parameters", `${parameters.device}`);
      }
      for (const { name, shape } of record.parameters) parameters.checkShape(name, shape);
    }
    return new Graph(device, record, parameters);
  }

  private constructor(
    device: Device,
    record: GraphRecord<Outputs>,
    parameters: ParameterStore | undefined,
  ) {
    if (!(device instanceof Device)) throw privateConstructor("Graph.compile(device, record)");
    this.device = device;
    this.record = record;
    this.#ownsParameters = parameters === undefined;
    this.parameters = parameters ?? new ParameterStore(device, record.parameters);
    const ports = (values: Readonly<Record<string, ValueId>>): Port[] =>
      Object.entries(values).map(([name, id]) => ({ name, ...record.values[id]! }));
    this.#inputs = ports(record.inputs);
    this.#outputs = ports(record.outputs);
    this.#inputNames = Object.keys(record.inputs);
    const shared = parameters && record.parameters.map(({ name }) => parameters.index(name));
    const nativeRecord = nativeRecordOf(record, shared);
    this.#nativeDevice = device.native;
    this.#native = callNative(() =>
      this.#nativeDevice.createGraph(nativeRecord, this.parameters.native),
    );
  }

  /**
   * Lays out the memory and packs the weights for a batch size now rather than at its first run.
   * @throws {TypeError|RangeError} batch is not an integer ≥ 1
   * @throws {VggError} DISPOSED, OUT_OF_MEMORY, MISSING_PARAMETER
   * @example await graph.prepare(8);
   */
  async prepare(batch: number): Promise<void> {
    checkInteger(batch, "batch", 1, 2 ** 31 - 1);
    this.#checkLive();
    await inTurn(this.parameters.line, () => awaitNative(() => this.#native.prepare(batch)));
  }

  /**
   * Runs the graph on the device's thread, after all earlier calls. Inputs in JavaScript's memory are copied before
   * this returns.
   * @param inputs by name, each (N, …) with the same N ≥ 1
   * @returns each output by name, as a new Tensor
   * @throws {TypeError|RangeError} a missing or unknown input or output, another shape, dtype or device
   * @throws {VggError} DISPOSED, OUT_OF_MEMORY, QUEUE_FULL, MISSING_PARAMETER; or the reason of `signal`
   * @example const { y } = await graph.run({ x: Tensor.randn([1, 3, 32, 32]) });
   */
  async run(inputs: Inputs, options?: RunOptions<undefined>): Promise<NewTensors<Outputs>>;
  /**
   * Runs the graph and writes the outputs of `into` to their DeviceTensors.
   * @returns each output by name: the DeviceTensor of `into`, or a new Tensor
   * @example const { y } = await graph.run({ x: Tensor.randn([1, 3, 32, 32]) }, { into: { y: deviceTensor } });
   */
  async run<Into extends Targets<Outputs> | undefined>(
    inputs: Inputs,
    options: RunOptions & { into: Into },
  ): Promise<Results<Outputs, Into>>;
  /**
   * Runs the graph with options whose `into` the compiler does not know.
   * @example
   * const options: RunOptions = {};
   * const results = await graph.run({ x: Tensor.randn([1, 3, 32, 32]) }, options);
   */
  async run(
    inputs: Inputs,
    options: RunOptions<Targets<Outputs>> | undefined,
  ): Promise<Results<Outputs>>;
  async run(inputs: Inputs, options?: RunOptions<object | undefined>): Promise<unknown> {
    this.#checkLive();
    const given =
      options === undefined ? undefined : readOptions(options, "options", ["signal", "into"]);
    const into = given?.into as Targets | undefined;
    const call = this.#check(readInputs(inputs, this.#inputNames), into, given?.signal);
    try {
      return (await this.#start(this.#native.start, call)).results;
    } catch (error) {
      throw failureOf(error, call.signal);
    }
  }

  /**
   * Runs the graph repeatedly and measures each step. On a GPU the steps are timed one by one with its own clock,
   * outside the recorded graph that `run` launches.
   * @param inputs as for `run`, copied before this returns
   * @throws {TypeError|RangeError} as `run`; `warmup` or `iterations` out of range @throws {VggError} as `run`
   * @example const { steps } = await graph.profile({ x: Tensor.randn([1, 3, 32, 32]) });
   */
  async profile(inputs: Inputs, options: ProfileOptions = {}): Promise<GraphProfile<Outputs>> {
    this.#checkLive();
    const given = readOptions(options, "options", ["warmup", "iterations", "signal"]);
    const { warmup = 1, iterations = 10, signal } = given;
    checkInteger(warmup, "options.warmup", 0, 1_000_000);
    checkInteger(iterations, "options.iterations", 1, 1_000_000);
    const tensors = readInputs(inputs, this.#inputNames);
    this.#check(tensors, undefined, signal);
    const copies = tensors.map(copyTensor);
    const runs: NativeStepTime[][] = [];
    for (let i = 0; ; i++) {
      this.#checkLive();
      const call = this.#check(copies, undefined, signal);
      let results: AnyResults;
      try {
        const ran = await this.#start(this.#native.startProfile, call);
        results = ran.results;
        if (i >= warmup) runs.push(ran.value);
      } catch (error) {
        throw failureOf(error, signal);
      }
      if (runs.length < iterations) continue;
      const weights = this.parameters.precision;
      const activations = this.device.kind === "cpu" ? "float32" : weights;
      return {
        outputs: results as NewTensors<Outputs>,
        steps: describeSteps(this.record, { weights, activations }, call.batch, runs),
      };
    }
  }

  /** @internal The times of the run that ended last. */
  get lastRun(): NativeRunTime {
    return callNative(() => this.#native.lastRun());
  }

  #check(inputs: Inputs[string][], into: Targets | undefined, signal?: AbortSignal): Call {
    return checkCall(this.device, this.#inputs, this.#outputs, inputs, into, signal);
  }

  /** Submits a call to the addon: now, unless its parameters or tensors are blocked. */
  #start<T>(method: NativeMethod<T>, call: Call): Promise<Ran<T>> {
    const lines = [this.parameters.line];
    for (const { line } of call.tensors) lines.push(line);
    return mustWait(lines)
      ? this.#wait(lines, method, call)
      : this.#submit(method, call, call.nativeInputs, null);
  }

  async #submit<T>(
    method: NativeMethod<T>,
    call: Call,
    inputs: NativeInputs,
    reservation: NativeReservation | null,
  ): Promise<Ran<T>> {
    const { signal, batch, nativeTargets } = call;
    let results: AnyResults = {};
    const start = (cancellation: NativeCancellation | null) => {
      const run = method.call(
        this.#native,
        batch,
        inputs,
        nativeTargets,
        cancellation,
        reservation,
      );
      try {
        const made = makeResults(this.#outputs, call); // the device is already computing
        results = made.results;
        return this.#native.finish(run, made.arrays);
      } catch (error) {
        // The run is under way. The caller learns of the failure when it has ended and has given its bytes back.
        const fail = (): never => {
          throw error;
        };
        return this.#native
          .finish(
            run,
            nativeTargets.map(() => null),
          )
          .then(fail, fail);
      }
    };
    const value = await (signal === undefined
      ? start(null)
      : cancellable(this.#nativeDevice, signal, start));
    return { value, results };
  }

  #wait<T>(lines: readonly Line[], method: NativeMethod<T>, call: Call): Promise<Ran<T>> {
    const { signal, batch, nativeInputs, nativeTargets } = call;
    const isCopied = (input: NativeInputs[number]) => ArrayBuffer.isView(input);
    const arrays = nativeInputs.filter(isCopied);
    const moreBytes = this.#outputs
      .filter((_, index) => nativeTargets[index] === null)
      .reduce((sum, { shape, dtype }) => sum + batch * byteCount(shape, dtype), 0);
    return waitWithCopies(
      lines,
      this.#nativeDevice,
      arrays,
      (copies, reservation) => {
        const left = [...copies];
        const inputs = nativeInputs.map((input) => (isCopied(input) ? left.shift()! : input));
        return this.#submit(method, call, inputs, reservation);
      },
      signal,
      moreBytes,
    );
  }

  #checkLive(): void {
    if (this.#disposal !== null)
      throw new VggError("DISPOSED", "Expected a live graph but it was disposed");
  }

  /**
   * Frees the graph when earlier runs have ended. A second call does nothing more.
   * @example await graph.dispose();
   */
  dispose(): Promise<void> {
    this.#disposal ??= (async () => {
      await inTurn(this.parameters.line, () => awaitNative(() => this.#native.dispose()));
      if (this.#ownsParameters) await this.parameters.dispose();
    })();
    return this.#disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  toString(): string {
    const [inputs, outputs] = [describePorts(this.#inputs), describePorts(this.#outputs)];
    return `Graph on ${this.device.id} (${this.record.rows.length} operations): ${inputs} → ${outputs}`;
  }

  /**
   * Returns what `JSON.stringify` writes: the device's id, and the shapes and dtypes of the inputs and outputs.
   * @example console.log(JSON.stringify(graph));
   */
  toJSON(): { device: string; inputs: readonly Port[]; outputs: readonly Port[] } {
    return { device: this.device.id, inputs: this.#inputs, outputs: this.#outputs };
  }

  [inspectKey](): string {
    return `${this}${this.#disposal === null ? "" : ", disposed"}`;
  }
}
