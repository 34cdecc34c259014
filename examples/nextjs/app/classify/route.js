// Answers an image that is sent to /classify with its best classes. VGG_WEIGHTS names the weights; without it, it is a small network with random parameters.
import { Vgg, VggError } from "vgg-cudnn";

export const runtime = "nodejs"; // not the Edge runtime, which loads no addons

/** One model for all requests, made by the first one. */
let loading;
function load() {
  const weights = process.env.VGG_WEIGHTS;
  loading ??= weights
    ? Vgg.load(weights)
    : Vgg.create("vgg11", { numClasses: 10, imageSize: 64, seed: 1 });
  return loading;
}

export async function POST(request) {
  const model = await load();
  try {
    const bytes = await request.arrayBuffer();
    return Response.json(await model.classify(bytes, { top: 3, signal: request.signal }));
  } catch (error) {
    if (!(error instanceof VggError)) throw error;
    const status = error.code === "QUEUE_FULL" ? 503 : error.code.startsWith("IMAGE_") ? 422 : 500;
    return Response.json({ error: error.message }, { status });
  }
}
