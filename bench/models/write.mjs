// Writes one VGG11 and a few images in each format that an engine reads, and computes the logits that all must give.
import { spawnSync } from "node:child_process";
import { createWriteStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { Tensor, Vgg } from "../../dist/index.js";
import { mnnConvert } from "../python.mjs";
import { fusedLayers } from "./layers.mjs";
import { toNcnn } from "./ncnn-model.mjs";
import { toOnnx } from "./onnx.mjs";
import { computeTruth } from "./truth.mjs";

async function writeParts(file, parts) {
  const stream = createWriteStream(file);
  for (const part of parts) {
    const { buffer, byteOffset, byteLength } = part;
    stream.write(new Uint8Array(buffer, byteOffset, byteLength));
  }
  stream.end();
  await finished(stream);
}

function convertToMnn(onnx, mnn) {
  const args = ["-f", "ONNX", "--modelFile", onnx, "--MNNModel", mnn, "--bizCode", "vgg11"];
  const { status, stdout, stderr } = spawnSync(mnnConvert, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`mnnconvert failed:\n${stdout}${stderr}`);
}

/**
 * @param forms the names of the formats to write: safetensors, onnx, mnn, ncnn
 * @param imageCount larger batches repeat the images
 * @returns the files, the options for drivers that build the network, and the logits of each image in float64
 */
export async function writeModels(folder, forms, imageCount) {
  const model = await Vgg.create("vgg11", { seed: 1, device: "cpu" });
  // Fresh biases are zero, which would hide an engine that forgets them. Large ones would hide errors of the products.
  for (const { name, shape } of model.parameters()) {
    if (!name.endsWith(".bias")) continue;
    const { data } = Tensor.randn(shape, 3);
    await model.setParameter(
      name,
      new Tensor(
        shape,
        data.map((value) => value / 100),
      ),
    );
  }
  const state = await model.stateDict();
  const layers = fusedLayers(model.summary());
  const files = {
    images: join(folder, "images.f32"),
    safetensors: join(folder, "vgg11.safetensors"),
    onnx: join(folder, "vgg11.onnx"),
    mnn: join(folder, "vgg11.mnn"),
    ncnn: join(folder, "vgg11.param"),
  };
  if (forms.has("safetensors")) await model.save(files.safetensors);
  if (forms.has("onnx") || forms.has("mnn")) await writeParts(files.onnx, toOnnx(model, state));
  if (forms.has("mnn")) convertToMnn(files.onnx, files.mnn);
  if (forms.has("ncnn")) {
    const { param, bin } = toNcnn(layers, state, model);
    await writeFile(files.ncnn, param);
    await writeParts(join(folder, "vgg11.bin"), bin);
  }
  const { inChannels, imageSize, numClasses } = model;
  await model.dispose();

  const { data } = Tensor.randn([imageCount, inChannels, imageSize, imageSize], 2);
  await writeParts(files.images, [data]);
  const size = data.length / imageCount;
  const images = Array.from({ length: imageCount }, (_, i) => data.slice(i * size, (i + 1) * size));
  const parameters = new Map([...state].map(([name, tensor]) => [name, tensor.data]));
  const truth = await computeTruth(images, imageSize, layers, parameters);
  return { files, layers, classes: numClasses, truth };
}
