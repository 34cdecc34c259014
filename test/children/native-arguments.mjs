// test/addon/native-arguments.test.ts runs this in a separate process. Calls every function of the addon with arguments that it must refuse.
import { native } from "../../dist/native/load.js";

const addon = native();
const device = addon.openCpu(1, "", 0);
const other = addon.openCpu(2, "", 0);
const values = [
  { shape: [3, 4, 4], dtype: "float32" },
  { shape: [2, 4, 4], dtype: "float32" },
];
const conv2d = {
  kind: "conv2d",
  input: 0,
  output: 1,
  weight: 0,
  stride: 1,
  padding: 1,
  relu: false,
};
const record = { values, rows: [conv2d], inputs: [0], outputs: [1] };
const specs = [{ name: "w", shape: [2, 3, 3, 3] }];
const parameters = device.createParameters(specs, "float32");
const graph = device.createGraph(record, parameters);
const memory = device.allocate(16);
const reservation = device.reserve(16);
const held = parameters.hold();
const cancellation = device.createCancellation();
const gpu = { description: "{}", name: "none", capability: 90 };
const options = {
  precision: "float32",
  batch: 1,
  limit: 1,
  cacheFolder: "/nonexistent",
  form: null,
};
const geometry = {
  width: 2,
  height: 2,
  resizedWidth: 2,
  resizedHeight: 2,
  left: 0,
  top: 0,
  cropWidth: 2,
  cropHeight: 2,
  orientation: 1,
  interpolation: "bilinear",
  channels: 3,
};
const image = new Float32Array(48);
const output = new Float32Array(32);
const run = [1, [image], [null], null, null];
const places = new addon.Places("arguments", 4);

/** Each function with arguments that it accepts. */
const entries = [
  [addon, "openCpu", [1, "", 0]],
  [
    addon,
    "openCuda",
    [
      0,
      {
        cacheFolder: "/nonexistent",
        plansFolder: "/nonexistent",
        deterministic: false,
        form: null,
        linear: null,
        maxQueuedBytes: 0,
      },
    ],
  ],
  [addon, "cudaDevices", []],
  [addon, "cudaReport", []],
  [addon, "cudaDriver", []],
  [addon, "setCudaSets", [[{ cuda: 13, folder: "/nonexistent" }]]],
  [addon, "cpuInfo", []],
  [addon, "poolThreads", []],
  [addon, "randomNormal", [4, 1]],
  [addon, "resizeCrop", [new Uint8Array(12), geometry]],
  [addon, "stepCosts", [record, specs, options]],
  [addon, "planConvolutions", [gpu, record, specs, options]],
  [addon, "compileKernels", [90, "/nonexistent"]],
  [device, "info", []],
  [device, "memoryStats", []],
  [device, "roofline", ["float16"]],
  [device, "allocate", [16]],
  [device, "createParameters", [specs, "float32"]],
  [device, "createCancellation", []],
  [device, "createGraph", [record, parameters]],
  [device, "reserve", [16]],
  [reservation, "release", []],
  [memory, "write", [new Float32Array(4), null]],
  [memory, "read", []],
  [parameters, "write", [[0], [new Float32Array(54)], ["float32"], 0, true, null]],
  [parameters, "read", [0]],
  [parameters, "fill", [0, 1]],
  [parameters, "hold", []],
  [held, "read", [0, 0, 54, false]],
  [held, "dispose", []],
  [parameters, "fillNormal", [0, 1, 1, 1]],
  [graph, "prepare", [1]],
  [{ start: (...call) => graph.finish(graph.start(...call), [output]) }, "start", run],
  [graph, "start", run],
  [graph, "startProfile", [1, [image], [null], cancellation, device.reserve(16)]],
  [
    {
      finish: (number, arrays) =>
        graph.finish(number === "started" ? graph.start(...run) : number, arrays),
    },
    "finish",
    ["started", [output]],
  ],
  [graph, "lastRun", []],
  [cancellation, "cancel", []],
  [{ places: (name, capacity) => new addon.Places(name, capacity) }, "places", ["made", 4]],
  [places, "take", [1]],
  [places, "wait", [1]],
  [places, "change", [1]],
  [places, "give", [1]],
  [places, "capacity", []],
  [places, "free", []],
  [places, "idleMs", []],
];

const thrower = () => {
  throw new Error("a getter's own");
};
/** An object, array or function that throws whenever it is read. */
const hostile = (target) =>
  new Proxy(target, { get: thrower, has: thrower, getOwnPropertyDescriptor: thrower });

const wrong = [
  ...[undefined, null, true, "", "\u0000", "float64", "x".repeat(1_000_000), Symbol("s"), 1n],
  ...[
    0,
    -0,
    -1,
    0.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    -(2 ** 31),
    2 ** 31,
    2 ** 32,
    2 ** 53,
    1e300,
  ],
  ...[{}, [], [null], [1, 2, 3], new Array(2 ** 32 - 1), () => {}, Object.create(null), new Date()],
  ...[
    new Float32Array(),
    new Uint8Array(3),
    new BigInt64Array(4),
    new DataView(new ArrayBuffer(8)),
  ],
  ...[
    structuredClone(new Uint8Array(12)),
    new Uint8Array(new SharedArrayBuffer(12)),
    new ArrayBuffer(8),
  ],
  ...[device, other, memory, parameters, graph, cancellation, Object.create(graph), held],
  other.createCancellation(),
  ...[other.allocate(16), other.createParameters(specs, "float32")],
  ...[hostile({}), hostile([]), hostile(() => {})],
  ...[
    { valueOf: thrower, toString: thrower },
    {
      get shape() {
        return thrower();
      },
    },
  ],
];
structuredClone(wrong[31].buffer, { transfer: [wrong[31].buffer] }); // detached

/** Yields copies of the argument in which it, or one of its parts, is replaced by each wrong value. */
function* mutants(value, depth = 0) {
  yield* wrong;
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || depth > 4) return;
  if (Object.getPrototypeOf(value) !== Object.prototype && !Array.isArray(value)) return;
  for (const key of Object.keys(value)) {
    for (const inner of mutants(value[key], depth + 1)) {
      const copy = Array.isArray(value) ? [...value] : { ...value };
      copy[key] = inner;
      yield copy;
    }
    if (Array.isArray(value)) continue;
    const { [key]: _, ...rest } = value;
    yield rest;
    yield Object.defineProperty({ ...rest }, key, { get: thrower });
  }
}

const outcomes = { calls: 0, refused: 0 };
const unexpected = new Set();

function judge(entry, error) {
  outcomes.refused++;
  const isKnown =
    error instanceof Error &&
    (error instanceof TypeError ||
      error instanceof RangeError ||
      typeof error.code === "string" ||
      error.message === "a getter's own");
  // The wording of Node-API or the standard library shows that the addon did not check the argument itself.
  const isOwn = !/was expected|Invalid argument|_M_range_check/.test(error?.message);
  if (!isKnown || !isOwn) unexpected.add(`${entry}: ${error?.stack ?? error}`);
}

for (const [object, name, good] of entries) {
  const call = async (args, self = object) => {
    outcomes.calls++;
    try {
      await object[name].apply(self, args);
    } catch (error) {
      judge(name, error);
    }
  };
  await call(good);
  for (let length = 0; length < good.length; length++) await call(good.slice(0, length));
  for (const [index, argument] of good.entries()) {
    for (const mutant of mutants(argument)) {
      // Gigabytes are not a wrong argument, only slow.
      const isMemory = name === "randomNormal" || name === "allocate";
      if (!(isMemory && typeof mutant === "number" && mutant > 1e6 && mutant < 2 ** 53))
        await call(good.with(index, mutant));
    }
  }
  if (object !== addon) for (const self of wrong) await call(good, self);
}
for (const object of [device, memory, reservation, parameters, held, graph, cancellation]) {
  for (const value of wrong) {
    for (const make of [() => new object.constructor(value), () => object.constructor(value)]) {
      outcomes.calls++;
      try {
        make();
      } catch (error) {
        judge("a constructor", error);
      }
    }
  }
}

// Code that runs in the middle of a call changes the call's arguments.
const disposed = device.createGraph(record, parameters);
const inputs = [];
Object.defineProperty(inputs, 0, {
  get() {
    void disposed.dispose();
    return image;
  },
});
const late = (async () =>
  disposed.finish(disposed.start(1, inputs, [null], null), [output]))().catch(() => {});
await late;
const transferred = new Uint8Array(12);
const lateSize = { ...geometry };
Object.defineProperty(lateSize, "cropHeight", {
  get() {
    if (transferred.byteLength > 0)
      structuredClone(transferred.buffer, { transfer: [transferred.buffer] });
    return 2;
  },
});
try {
  await addon.resizeCrop(transferred, lateSize);
} catch {}

// The next call works.
await parameters.fill(0, 1);
output.fill(0);
await graph.finish(graph.start(1, [new Float32Array(48).fill(1)], [null], null), [output]);
console.log(JSON.stringify({ ...outcomes, unexpected: [...unexpected], corner: output[0] }));
