// `POST /layers`: the channels of a layer as tiles of a PNG. `GET /layers`: which layers a model has.
import { ServeError } from "../errors.js";
import { invalid } from "../protocol/expected.js";
import { imageOptions } from "./classify.js";
import type { Handler } from "./context.js";
import { shapeHeader } from "./headers.js";
import { readImages } from "./images.js";
import { jsonAnswer, largeAnswer } from "./reply.js";
import { countOption, queryOptions, termsOf } from "./terms.js";
import { encodePng } from "./tiles/png.js";
import {
  drawTiles,
  leastSize,
  mostChannels,
  mostSize,
  usualChannels,
  usualSize,
} from "./tiles/tiles.js";
import { timingOf } from "./timing.js";

/** Answers with a PNG of 8-bit grey. */
export const layers: Handler = async (call, { engine, limits }) => {
  const options = queryOptions(call, ["layer", "channels", "size", ...imageOptions]);
  const { layer, model, version } = options;
  if (layer === undefined)
    throw new ServeError("INVALID", "Expected ?layer=NAME in the address, such as features.8");
  const channels = within(options.channels, "channels", [1, mostChannels]) ?? usualChannels;
  const size = within(options.size, "size", [leastSize, mostSize]) ?? usualSize;
  const priority = countOption(options.priority, "priority", 0);
  const timeoutMs = countOption(options.timeoutMs, "timeoutMs", 0);
  const { images, bytes } = await readImages(call, limits);
  const terms = termsOf(call, bytes, priority, timeoutMs);
  const { shape, data } = await engine.layer({ ...terms, model, version, images, layer });
  const png = await encodePng(drawTiles(shape, data, { channels, size }));
  return largeAnswer(call, png, {
    "Content-Type": "image/png",
    [shapeHeader]: shape.join(","),
    ...timingOf(call),
  });
};

/** Answers with {layers: [{name, shape}]}, in the order of the network. */
export const layerNames: Handler = (call, { engine }) => {
  const { model, version } = queryOptions(call, ["model", "version"]);
  const shapes = [...engine.layers(model, version)];
  return jsonAnswer({ layers: shapes.map(([name, shape]) => ({ name, shape })) });
};

function within(
  text: string | undefined,
  name: string,
  [least, most]: readonly [number, number],
): number | undefined {
  const number = countOption(text, name, 0);
  if (number === undefined || (number >= least && number <= most)) return number;
  throw invalid(`an integer from ${least} to ${most}`, name, text);
}
