// The published family as data: Simonyan & Zisserman, "Very deep convolutional networks", ICLR 2015, table 1.
// Module and parameter names are torchvision's.
import { checkInteger, checkOneOf, isInteger, optionOf } from "../check.js";

/** A number stands for a 3×3 convolution with that number of filters, "M" for a 2×2 max pool. */
const configurations = {
  A: [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
  B: [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
  D: [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"],
  E: [
    64,
    64,
    "M",
    128,
    128,
    "M",
    256,
    256,
    256,
    256,
    "M",
    512,
    512,
    512,
    512,
    "M",
    512,
    512,
    512,
    512,
    "M",
  ],
} as const;

const family = {
  vgg11: { configuration: "A", hasBatchNorm: false },
  vgg11_bn: { configuration: "A", hasBatchNorm: true },
  vgg13: { configuration: "B", hasBatchNorm: false },
  vgg13_bn: { configuration: "B", hasBatchNorm: true },
  vgg16: { configuration: "D", hasBatchNorm: false },
  vgg16_bn: { configuration: "D", hasBatchNorm: true },
  vgg19: { configuration: "E", hasBatchNorm: false },
  vgg19_bn: { configuration: "E", hasBatchNorm: true },
} as const;

/** The names of the networks, as in torchvision. */
export type Architecture = keyof typeof family;
/** All architectures, the smallest first. */
export const architectures = Object.freeze(Object.keys(family)) as readonly Architecture[];

export type Module =
  | {
      readonly name: string;
      readonly kind: "conv2d";
      readonly inChannels: number;
      readonly outChannels: number;
    }
  | { readonly name: string; readonly kind: "batchNorm"; readonly channels: number }
  | { readonly name: string; readonly kind: "relu" }
  | { readonly name: string; readonly kind: "maxPool2d" }
  | { readonly name: string; readonly kind: "adaptiveAvgPool2d"; readonly size: number }
  | {
      readonly name: string;
      readonly kind: "linear";
      readonly inFeatures: number;
      readonly outFeatures: number;
    }
  | { readonly name: string; readonly kind: "dropout"; readonly p: number };

/** The sizes that a caller may choose. All others are fixed by the paper. */
export interface TopologyOptions {
  /** The number of channels of an image, 1 … 4096. Default 3. */
  inChannels?: number | undefined;
  /** The number of classes, 1 … 1,000,000. Default 1000. */
  numClasses?: number | undefined;
  /** The number of outputs of each of the two hidden linear layers, 1 … 65,536. Default 4096, as in the paper. */
  hiddenFeatures?: number | undefined;
  /** Height and width in pixels of the images of `classify` and `warmup`, 32 … 8192. `forward` takes any. Default 224. */
  imageSize?: number | undefined;
}

export interface Topology {
  readonly arch: Architecture;
  readonly inChannels: number;
  readonly numClasses: number;
  readonly hiddenFeatures: number;
  readonly imageSize: number;
  /** The modules in the order in which they run, which is also torchvision's order of definition. */
  readonly modules: readonly Module[];
}

const pooledSize = 7;

const imageSizes = [32, 8192] as const;

/** The image size of the published networks. */
export const usualImageSize = 224;

/** Whether a value is an image size that a topology can have. */
export const isImageSize = (value: unknown): value is number => isInteger(value, ...imageSizes);

/** Builds a topology. @throws {TypeError|RangeError} unknown architecture, or a number out of its range */
export function topology(arch: Architecture, options: TopologyOptions = {}): Topology {
  const { configuration, hasBatchNorm } = family[checkOneOf(arch, "arch", architectures)];
  const integer = (name: keyof TopologyOptions, usual: number, min: number, max: number) =>
    checkInteger(optionOf(options, name, usual), name, min, max);
  const inChannels = integer("inChannels", 3, 1, 4096);
  const numClasses = integer("numClasses", 1000, 1, 1_000_000);
  const hiddenFeatures = integer("hiddenFeatures", 4096, 1, 65_536);
  const imageSize = integer("imageSize", usualImageSize, ...imageSizes);

  const modules: Module[] = [];
  let index = 0;
  let channels = inChannels;
  for (const item of configurations[configuration]) {
    if (item === "M") {
      modules.push({ name: `features.${index++}`, kind: "maxPool2d" });
      continue;
    }
    modules.push({
      name: `features.${index++}`,
      kind: "conv2d",
      inChannels: channels,
      outChannels: item,
    });
    if (hasBatchNorm)
      modules.push({ name: `features.${index++}`, kind: "batchNorm", channels: item });
    modules.push({ name: `features.${index++}`, kind: "relu" });
    channels = item;
  }
  modules.push({ name: "avgpool", kind: "adaptiveAvgPool2d", size: pooledSize });
  const flattened = channels * pooledSize * pooledSize;
  modules.push(
    { name: "classifier.0", kind: "linear", inFeatures: flattened, outFeatures: hiddenFeatures },
    { name: "classifier.1", kind: "relu" },
    { name: "classifier.2", kind: "dropout", p: 0.5 },
    {
      name: "classifier.3",
      kind: "linear",
      inFeatures: hiddenFeatures,
      outFeatures: hiddenFeatures,
    },
    { name: "classifier.4", kind: "relu" },
    { name: "classifier.5", kind: "dropout", p: 0.5 },
    { name: "classifier.6", kind: "linear", inFeatures: hiddenFeatures, outFeatures: numClasses },
  );
  return { arch, inChannels, numClasses, hiddenFeatures, imageSize, modules };
}

/** The name of the module whose output is the logits. */
export const logitsName = "classifier.6";
