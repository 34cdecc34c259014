// The table of trials: engine × settings × precision × threads. run.mjs runs all of them at each batch size, in turns.

/** What runs a trial: the program in drivers/, what it is run with, and the form of the model that it reads. */
export const engines = {
  "vgg-cudnn": { driver: "ours.mjs", runtime: "node", reads: "safetensors" },
  "onnxruntime-node": { driver: "onnxruntime.mjs", runtime: "node", reads: "onnx" },
  "tfjs-wasm": { driver: "tfjs.mjs", runtime: "node", reads: "safetensors" },
  MNN: { driver: "mnn_driver.py", runtime: "python", reads: "mnn" },
  ncnn: { driver: "ncnn_driver.py", runtime: "python", reads: "ncnn" },
  OpenVINO: { driver: "openvino_driver.py", runtime: "python", reads: "onnx" },
  PyTorch: { driver: "torch_driver.py", runtime: "python", reads: "safetensors" },
};

// Trials for completeness stop after a few rounds, so that the others get more.
const few = 3;

const rows = [
  { engine: "vgg-cudnn", precision: "float32" },
  { engine: "vgg-cudnn", precision: "float16" },
  { engine: "vgg-cudnn", precision: "float32", note: "AVX2", settings: { instructionSet: "avx2" } },
  { engine: "vgg-cudnn", precision: "float32", threads: 1, rounds: few },
  { engine: "onnxruntime-node", precision: "float32" },
  { engine: "onnxruntime-node", precision: "float32", threads: 1, rounds: few },
  { engine: "MNN", precision: "float32", settings: { precision: "high" } },
  { engine: "MNN", precision: "float16", settings: { precision: "low" }, rounds: few }, // no faster on x86
  { engine: "ncnn", precision: "float32", settings: { half: false } },
  { engine: "ncnn", precision: "float16", settings: { half: true } }, // its default
  { engine: "OpenVINO", precision: "float32", rounds: few },
  { engine: "PyTorch", precision: "float32", rounds: few },
  // Its WebAssembly has no threads in Node. Many times slower than the others: one round says it.
  { engine: "tfjs-wasm", precision: "float32", threads: 1, rounds: 1 },
];

/** The largest relative error, ‖logits − truth‖ ÷ ‖truth‖, with which an engine still counts as computing the same thing. */
export const tolerance = { float32: 5e-4, float16: 1e-2 };

/** The trials of a machine whose best instruction set is the one given, each with a name. */
export function trialsFor(threads, instructionSet) {
  const trials = rows
    .filter(({ note }) => note === undefined || instructionSet === "avx512")
    .map((row) => ({ settings: {}, rounds: Number.POSITIVE_INFINITY, threads, ...row }))
    .map((trial) => ({ ...trial, name: nameOf(trial, threads) }));
  // With --threads 1 two rows are one.
  return trials.filter(({ name }, i) => trials.findIndex((other) => other.name === name) === i);
}

function nameOf({ engine, precision, note, threads }, defaultThreads) {
  const parts = [engine];
  if (precision === "float16") parts.push("half");
  if (note !== undefined) parts.push(note);
  if (threads !== defaultThreads) parts.push(threads === 1 ? "1 thread" : `${threads} threads`);
  return parts.join(", ");
}

/** What the ratios are against. */
export const baseName = "onnxruntime-node";
export const strongestEngines = ["MNN", "ncnn"];
