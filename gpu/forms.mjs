// Compares each form of VGG11's convolutions (fused, our own kernels) with the plain one, the linear layer that skips zeros
// with the dense one, and the plain and dense ones with the CPU's.
// Usage: node gpu/forms.mjs [--quick] FOLDER JSON
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openForcedGpu } from "../dist/device/device.js";
import { Graph, GraphBuilder, openDevice, ParameterStore, Tensor } from "../dist/index.js";
import { readArguments } from "./arguments.mjs";
import { bars, bytesOf, difference, openGpu, table, writeJson } from "./common.mjs";

// --child runs one process, whose arguments are FOLDER PRECISION FORM.
const {
  isQuick,
  child: isChild,
  positionals,
} = readArguments({ child: { type: "boolean", default: false } });
const batch = isQuick ? 1 : 2;
/** Our CPU's Winograd algorithm in float32 differs from float64 by up to 1.4e-5 on these numbers. Both sides of a comparison may use it. */
const float32Bar = 3e-5;
/** How much the plain or dense form may differ from the CPU's, and how much other forms, which round elsewhere, may differ from it. */
const plainBars = { ...bars, float32: float32Bar };
const formBars = { float32: float32Bar, tf32: 2e-3, float16: 2e-3, bfloat16: 1.6e-2 };

// biome-ignore format: columns
const convolutions = [
  { name: "conv1", channels: 3,   filters: 64,  size: 224, pool: true },
  { name: "conv2", channels: 64,  filters: 128, size: 112, pool: true },
  { name: "conv3", channels: 128, filters: 256, size: 56,  pool: false },
  { name: "conv4", channels: 256, filters: 256, size: 56,  pool: true },
  { name: "conv5", channels: 256, filters: 512, size: 28,  pool: false },
  { name: "conv6", channels: 512, filters: 512, size: 28,  pool: true },
  { name: "conv7", channels: 512, filters: 512, size: 14,  pool: false },
  { name: "conv8", channels: 512, filters: 512, size: 14,  pool: true },
].map((layer) => ({ ...layer, size: isQuick ? Math.max(4, layer.size / 8 - ((layer.size / 8) % 2)) : layer.size }));
const linearLayers = [
  { name: "linear1", inputs: 25_088, outputs: 4096 },
  { name: "linear2", inputs: 4096, outputs: 4096 },
  { name: "linear3", inputs: 4096, outputs: 1000 },
].map((layer) => (isQuick ? { ...layer, inputs: layer.inputs / 16, outputs: 260 } : layer));
const layers = [...convolutions, ...linearLayers];

const isLinear = ({ inputs }) => inputs !== undefined;
/** The form that others are compared with. It is compared with the CPU's. */
const plainOf = (layer) => (isLinear(layer) ? "dense" : "plain");

// In float32 cuDNN does the first layer too.
const convolutionForms = ({ name, channels }, precision) => [
  "plain",
  "fused",
  // If the GPU lacks the instructions for it, the form that would be chosen runs instead.
  ...(channels % 64 === 0 && precision.endsWith("float16") ? ["direct"] : []),
  ...(name === "conv1" && precision !== "float32" ? ["first"] : []),
];

const formsOf = (layer, precision) =>
  isLinear(layer) ? ["dense", "sparse"] : convolutionForms(layer, precision);

/** The output of one operation with bias. Its parameters and inputs are random. */
async function compute(device, precision, record, { name, fan }, input) {
  const store = new ParameterStore(device, record.parameters, precision);
  const graph = Graph.compile(device, record, store);
  try {
    await store.fillNormal("weight", Math.sqrt(2 / fan), 3, name.charCodeAt(name.length - 1));
    await store.fillNormal("bias", 0.5, 4, name.charCodeAt(name.length - 1));
    return (await graph.run({ input })).output;
  } finally {
    await graph.dispose();
    await store.dispose();
  }
}

/** gemm + bias of one image. A ReLU makes half of its numbers zero. */
function computeLinear(device, precision, { name, inputs, outputs }) {
  const builder = new GraphBuilder();
  const weight = builder.parameter("weight", [outputs, inputs]);
  const bias = builder.parameter("bias", [outputs]);
  const output = builder.gemm(builder.relu(builder.input("input", [inputs])), weight, { bias });
  const images = Tensor.randn([1, inputs], 5);
  return compute(device, precision, builder.finish({ output }), { name, fan: inputs }, images);
}

/** conv2d + bias + relu (+ maxPool2d) of nonnegative numbers. "first" makes it a network's first layer. */
function computeConvolution(device, precision, { name, channels, filters, size, pool }, form) {
  const builder = new GraphBuilder();
  const input = builder.input("input", [channels, size, size]);
  const weight = builder.parameter("weight", [filters, channels, 3, 3]);
  const bias = builder.parameter("bias", [filters]);
  // A ReLU of such numbers changes nothing, but the layer after it is not a first layer.
  const before = form === "first" ? input : builder.relu(input);
  const output = builder.conv2d(before, weight, { bias, padding: 1, relu: true });
  const record = builder.finish({ output: pool ? builder.maxPool2d(output) : output });
  const images = Tensor.randn([batch, channels, size, size], 5);
  const positive = new Tensor(images.shape, images.data.map(Math.abs));
  return compute(device, precision, record, { name, fan: 9 * channels }, positive);
}

const fileOf = (folder, precision, form, name) =>
  join(folder, `form-${precision}-${form}-${name}.f32`);

/** The options that force a form. No option forces the kernel for first layers. */
const forcing = (form) =>
  form === "first" ? {} : ["dense", "sparse"].includes(form) ? { linear: form } : { form };

/** One process runs one form of every layer that has it. */
async function child(folder, precision, form) {
  const device = await (precision === "cpu" ? openDevice("cpu") : openForcedGpu(forcing(form)));
  for (const layer of layers.filter((layer) => formsOf(layer, precision).includes(form))) {
    const line = { precision, form, layer: layer.name };
    try {
      const arithmetic = precision === "cpu" ? "float32" : precision;
      const output = isLinear(layer)
        ? await computeLinear(device, arithmetic, layer)
        : await computeConvolution(device, arithmetic, layer, form);
      writeFileSync(fileOf(folder, precision, form, layer.name), bytesOf(output));
    } catch (error) {
      line.refusal = `${error.code ?? error.name}: ${error.message}`;
    }
    console.log(JSON.stringify(line));
  }
}

function start(folder, precision, form) {
  const script = fileURLToPath(import.meta.url);
  const quick = isQuick ? ["--quick"] : [];
  const running = spawn(process.execPath, [script, ...quick, "--child", folder, precision, form], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  running.stdout.on("data", (data) => {
    text += data;
  });
  return new Promise((resolve) => {
    running.on("close", (status) => {
      const lines = text.split("\n").filter((line) => line.startsWith("{"));
      resolve({ precision, form, status, lines: lines.map((line) => JSON.parse(line)) });
    });
  });
}

async function compareAll(folder, json) {
  const { device, precisions } = await openGpu();
  const tasks = [
    ["cpu", "plain"],
    ["cpu", "dense"],
  ];
  for (const precision of precisions)
    for (const form of ["plain", "fused", "direct", "first", "dense", "sparse"])
      tasks.push([precision, form]);
  const ended = [];
  const workers = Math.max(1, Math.min(6, Math.floor(availableParallelism() / 2)));
  await Promise.all(
    Array.from({ length: workers }, async () => {
      for (let task = tasks.shift(); task; task = tasks.shift())
        ended.push(await start(folder, ...task));
    }),
  );
  const lines = ended.flatMap(({ lines }) => lines);
  const read = (precision, form, name) => {
    const bytes = readFileSync(fileOf(folder, precision, form, name));
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  };
  const rows = [];
  for (const layer of layers) {
    for (const precision of precisions) {
      for (const form of formsOf(layer, precision)) {
        const plain = plainOf(layer);
        const against = form === plain ? "cpu" : plain;
        const row = { layer: layer.name, precision, form, against };
        rows.push(row);
        const line = lines.find(
          (l) => l.precision === precision && l.form === form && l.layer === layer.name,
        );
        row.bar = form === plain ? plainBars[precision] : formBars[precision];
        if (!line || line.refusal) {
          row.refusal = line?.refusal ?? "its process ended before it";
          // cuDNN may have no engine for a form. The plain one must work.
          row.passed = form !== plain && row.refusal.startsWith("UNSUPPORTED");
          continue;
        }
        try {
          const right =
            form === plain ? read("cpu", plain, layer.name) : read(precision, plain, layer.name);
          row.error = difference(read(precision, form, layer.name), right);
          row.passed = row.error <= row.bar;
        } catch (error) {
          row.refusal = `nothing to compare with: ${error.message}`;
          row.passed = false;
        }
      }
    }
  }
  writeJson(json, { gpu: device.name, batch, rows });
  console.log(
    table([
      ["layer", "precision", "form", "against", "difference", "at most", ""],
      ...rows.map(({ layer, precision, form, against, error, bar, refusal, passed }) => [
        ...[layer, precision, form, against, error?.toExponential(1) ?? "-", bar],
        refusal ? `refused: ${refusal}` : passed ? "" : "FAILED",
      ]),
    ]),
  );
  const passed = rows.filter((row) => row.passed && !row.refusal).length;
  const refused = rows.filter((row) => row.passed && row.refusal).length;
  const failed = rows.length - passed - refused;
  console.log(
    `${passed} of ${rows.length} forms agree, ${refused} that cuDNN does not offer, ${failed} failed`,
  );
  process.exitCode = failed === 0 ? 0 : 1;
}

if (isChild) await child(...positionals);
else await compareAll(...positionals);
