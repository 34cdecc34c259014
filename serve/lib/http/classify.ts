// `POST /classify`: the best classes of images.
import type { Handler } from "./context.js";
import { readImages } from "./images.js";
import { largeAnswer } from "./reply.js";
import { countOption, queryOptions, termsOf } from "./terms.js";
import { timingOf } from "./timing.js";

/** The options of every call that takes images. */
export const imageOptions = ["model", "version", "priority", "timeoutMs"] as const;

/** Answers with a list of {index, label, probability} for one image, or with a list of such lists. */
export const classify: Handler = async (call, { engine, limits }) => {
  const options = queryOptions(call, ["top", ...imageOptions]);
  const top = countOption(options.top, "top", 1) ?? 5;
  const priority = countOption(options.priority, "priority", 0);
  const timeoutMs = countOption(options.timeoutMs, "timeoutMs", 0);
  const { images, isOne, bytes } = await readImages(call, limits);
  const { model, version } = options;
  const terms = termsOf(call, bytes, priority, timeoutMs);
  const predictions = await engine.classify({ ...terms, model, version, images, top });
  const answer = JSON.stringify(isOne ? predictions[0] : predictions);
  return largeAnswer(call, answer, {
    "Content-Type": "application/json",
    ...timingOf(call),
  });
};
