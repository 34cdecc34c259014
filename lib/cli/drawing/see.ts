// `vgg see`: draws the feature maps that a layer makes of an image, and the filters of a convolution.
import { type Command, InvalidArgumentError } from "commander";
import { checkInteger, rangeError } from "../../check.js";
import { preprocess } from "../../image/preprocess.js";
import type { Tensor } from "../../tensor.js";
import { moduleOf } from "../../vgg/layers.js";
import type { Vgg } from "../../vgg/model.js";
import { topology } from "../../vgg/topology.js";
import { sourceOf } from "../images/expand.js";
import { loadModel, type WeightsOptions, withNetwork, withWeightsFile } from "../model.js";
import { command, integer, type OutputOptions, print, withRequired } from "../options.js";
import { withPreprocess } from "../preprocess.js";
import { drawGrid, type Tile } from "./grid.js";
import { checkPng, writePng } from "./png.js";

interface SeeOptions extends WeightsOptions, OutputOptions {
  layer: string;
  out: string;
  filters: boolean;
  top?: number;
}

export function seeCommand(): Command {
  const of = withPreprocess(
    withNetwork(
      withWeightsFile(command("see", "draw what a layer makes of an image, or its filters")),
    ),
  )
    .argument("[image]", "a file or URL; - is standard input; not needed with --filters")
    .option("--layer <name>", "torchvision's name of the layer, such as features.0")
    .option("--out <file>", "the PNG to write")
    .option("--filters", "draw the layer's filters, beside their maps if there is an image", false)
    .option(
      "--top <count>",
      "draw only this number, the strongest first (default: all, by channel)",
      integer,
    );
  return withRequired(withRequired(of, "--layer <name>"), "--out <file>").action(see);
}

/** Tiles by channel, and how strong each is. */
interface Channels {
  readonly tiles: readonly Tile[];
  readonly strengths: readonly number[];
}

async function see(image: string | undefined, options: SeeOptions): Promise<void> {
  const { layer, out, filters, top } = options;
  checkPng(out, "--out");
  if (top !== undefined) checkInteger(top, "--top", 1, 65_536);
  if (image === undefined && !filters)
    throw new InvalidArgumentError("Expected IMAGE, or --filters without it");
  const model = await loadModel({ ...options, batchSize: 1 });
  try {
    moduleOf(topology(model.arch, model), layer, "--layer");
    const ofFilters = filters ? await filtersOf(model, layer) : undefined;
    const ofMaps = image === undefined ? undefined : await mapsOf(model, image, layer);
    const { strengths, tiles } = (ofMaps ?? ofFilters)!;
    const all = [...strengths.keys()];
    const channels =
      top === undefined
        ? all
        : all.sort((a, b) => strengths[b]! - strengths[a]! || a - b).slice(0, top);
    const cells = channels.map((channel) => {
      const filter = ofFilters?.tiles[channel];
      const map = ofMaps?.tiles[channel];
      return [map, filter].filter((tile) => tile !== undefined);
    });
    const grid = drawGrid(cells, "--top");
    await writePng(out, grid);
    const { width, height, columns } = grid;
    const { width: tileWidth, height: tileHeight } = tiles[0]!;
    const what = ofMaps === undefined ? "filters" : "maps";
    const result = { file: out, layer, what, width, height, columns, channels };
    print(options, { ...result, tileWidth, tileHeight }, () =>
      [
        `${out}: ${channels.length} of ${tiles.length} ${what} of ${layer}, ${tileWidth} × ${tileHeight} each, in ${columns} columns`,
        ...(top === undefined ? [] : [`channels: ${channels.join(", ")}`]),
      ].join("\n"),
    );
  } finally {
    await model.dispose();
  }
}

/** Returns the feature maps of a layer. The strength of a map is the mean of its absolute values. */
async function mapsOf(model: Vgg, image: string, layer: string): Promise<Channels> {
  if (model.preprocessing === undefined)
    throw rangeError("a network of 1 or 3 channels", "--weights", model.inChannels);
  const input = await preprocess(sourceOf(image), model.preprocessing);
  const outputs = await model.forward(input, { outputs: [layer] });
  const { shape, data } = outputs[layer]!;
  if (shape.length !== 4) throw rangeError("a layer with feature maps", "--layer", layer);
  const [, channels, height, width] = shape as [number, number, number, number];
  const area = height * width;
  const tiles = Array.from({ length: channels }, (_, channel): Tile => {
    const map = data.subarray(channel * area, (channel + 1) * area);
    return { width, height, planes: 1, data: map };
  });
  const strength = ({ data: map }: Tile) =>
    map.reduce((sum, value) => sum + Math.abs(value), 0) / area;
  return { tiles, strengths: tiles.map(strength) };
}

/**
 * Returns the filters of a convolution: in colour if it reads three channels, else the mean over the channels that it
 * reads. The strength of a filter is its norm.
 */
async function filtersOf(model: Vgg, layer: string): Promise<Channels> {
  const name = `${layer}.weight`;
  const info = [...model.parameters()].find((parameter) => parameter.name === name);
  if (info?.shape.length !== 4) throw rangeError("a convolution", "--layer", layer);
  const { shape, data } = (await model.getParameter(name)) as Tensor<"float32">;
  const [filters, read, height, width] = shape as [number, number, number, number];
  const area = height * width;
  const strengths: number[] = [];
  const tiles = Array.from({ length: filters }, (_, filter): Tile => {
    const all = data.subarray(filter * read * area, (filter + 1) * read * area);
    strengths.push(Math.hypot(...all));
    if (read === 3) return { width, height, planes: 3, data: all };
    const mean = new Float32Array(area);
    for (const [index, value] of all.entries()) mean[index % area]! += value / read;
    return { width, height, planes: 1, data: mean };
  });
  return { tiles, strengths };
}
