// The table of trials: engine × settings × precision × threads. run.mjs runs all trials at each batch size, in turns.

/** The driver of each engine: its program in drivers/, its runtime, and the format of the model that it reads. */
export const engines = {
  "vgg-cudnn": { driver: "ours.mjs", runtime: "node", reads: "safetensors" },
  "onnxruntime-node": { driver: "onnxruntime.mjs", runtime: "node", reads: "onnx" },
  "tfjs-wasm": { driver: "tfjs.mjs", runtime: "node", reads: "safetensors" },
  MNN: { driver: "mnn_driver.py", runtime: "python", reads: "mnn" },
  ncnn: { driver: "ncnn_driver.py", runtime: "python", reads: "ncnn" },
  OpenVINO: { driver: "openvino_driver.py", runtime: "python", reads: "onnx" },
  PyTorch: { driver: "torch_driver.py", runtime: "python", reads: "safetensors" },
};

// Trials that are only for completeness stop after a few rounds, so that the others get more.
const few = 3;

const rows = [
  { engine: "vgg-cudnn", precision: "float32" },
  { engine: "vgg-cudnn", precision: "float16" },
  { engine: "vgg-cudnn", precision: "float32", note: "AVX2", settings: { instructionSet: "avx2" } },
  { engine: "vgg-cudnn", precision: "float32", threads: 1, rounds: few },
  { engine: "onnxruntime-node", precision: "float32" },
  { engine: "onnxruntime-node", precision: "float32", threads: 1, rounds: few },
  { engine: "MNN", precision: "float32", settings: { precision: "high" } },
  { engine: "MNN", precision: "float16", settings: { precision: "low" }, rounds: few }, // Not faster on x86.
  { engine: "ncnn", precision: "float32", settings: { half: false } },
  { engine: "ncnn", precision: "float16", settings: { half: true } }, // Its default.
  { engine: "OpenVINO", precision: "float32", rounds: few },
  { engine: "PyTorch", precision: "float32", rounds: few },
  // Its WebAssembly has no threads in Node. It is many times slower than the others, so one round suffices.
  { engine: "tfjs-wasm", precision: "float32", threads: 1, rounds: 1 },
];

/** The largest relative error, ‖logits − truth‖ ÷ ‖truth‖, with which an engine still counts as correct. */
export const tolerance = { float32: 5e-4, float16: 1e-2 };

/** The trials of a machine with this best instruction set, each with a name. */
export function trialsFor(threads, instructionSet) {
  const trials = rows
    .filter(({ note }) => note === undefined || instructionSet === "avx512")
    .map((row) => ({ settings: {}, rounds: Number.POSITIVE_INFINITY, threads, ...row }))
    .map((trial) => ({ ...trial, name: nameOf(trial, threads) }));
  // With --threads 1 two rows are the same.
  return trials.filter(({ name }, i) => trials.findIndex((other) => other.name === name) === i);
}

function nameOf({ engine, precision, note, threads }, defaultThreads) {
  const parts = [engine];
  if (precision === "float16") parts.push("half");
  if (note !== undefined) parts.push(note);
  if (threads !== defaultThreads) parts.push(threads === 1 ? "1 thread" : `${threads} threads`);
  return parts.join(", ");
}

/** The reference of the ratios. */
export const baseName = "onnxruntime-node";
export const strongestEngines = ["MNN", "ncnn"];
