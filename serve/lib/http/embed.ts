// `POST /embed`: vectors of images, from any layer.
import { invalid } from "../protocol/expected.js";
import { bytesOfElements } from "../protocol/tensors.js";
import { imageOptions } from "./classify.js";
import type { Handler } from "./context.js";
import { shapeHeader } from "./headers.js";
import { readImages } from "./images.js";
import { checkJsonSize } from "./infer.js";
import { largeAnswer } from "./reply.js";
import { countOption, queryOptions, termsOf } from "./terms.js";
import { timingOf } from "./timing.js";

/** Answers with a list of numbers for one image, or with a list of such lists; or with float32 in little-endian bytes. */
export const embed: Handler = async (call, { engine, limits }) => {
  const options = queryOptions(call, ["layer", "pool", "normalize", ...imageOptions]);
  const priority = countOption(options.priority, "priority", 0);
  const timeoutMs = countOption(options.timeoutMs, "timeoutMs", 0);
  const pool = oneOf(options.pool, "pool", ["mean", "max"]);
  const normalize = oneOf(options.normalize, "normalize", ["true", "false"]) === "true";
  const { images, isOne, bytes } = await readImages(call, limits);
  const { model, version, layer } = options;
  const terms = termsOf(call, bytes, priority, timeoutMs);
  const request = { ...terms, model, version, images, layer, pool, normalize };
  const { shape, data } = await engine.embed(request);
  if (/\bapplication\/octet-stream\b/i.test(call.req.header("accept") ?? ""))
    return largeAnswer(call, bytesOfElements(data), {
      "Content-Type": "application/octet-stream",
      [shapeHeader]: shape.join(","),
      ...timingOf(call),
    });
  checkJsonSize(data.length, limits, 'ask for bytes with "Accept: application/octet-stream"');
  const [count, length] = shape;
  const rows = Array.from({ length: count }, (_, image) =>
    Array.from(data.subarray(image * length, (image + 1) * length)),
  );
  const answer = JSON.stringify(isOne ? rows[0] : rows);
  return largeAnswer(call, answer, {
    "Content-Type": "application/json",
    ...timingOf(call),
  });
};

function oneOf<T extends string>(
  text: string | undefined,
  name: string,
  choices: readonly T[],
): T | undefined {
  if (text === undefined || choices.includes(text as T)) return text as T | undefined;
  throw invalid(`one of ${choices.join(", ")}`, name, text);
}
