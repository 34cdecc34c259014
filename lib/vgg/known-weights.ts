// The published weights as data, from torchvision's models/vgg.py. A file's name ends in the first 8 hex digits of its
// SHA-256.
import { checkOneOf } from "../check.js";
import { type PublishedFile, type PullOptions, pull } from "../download/hub.js";
import { type Architecture, architectures } from "./topology.js";

/** Weights of one architecture that torchvision publishes. */
export interface KnownWeights extends PublishedFile {
  /** The architecture that the weights are for. */
  readonly arch: Architecture;
  /** torchvision's name. `DEFAULT` is an alias. */
  readonly name: "IMAGENET1K_V1";
  /** Percent of ImageNet's validation images that are classified correctly. */
  readonly accuracy: {
    /** Percent of images whose first answer is right. */
    readonly top1: number;
    /** Percent of images for which one of the first five answers is right. */
    readonly top5: number;
  };
  /** Multiply-adds for one 224 × 224 image, in 10⁹. */
  readonly gmacs: number;
  /** The number of trainable elements. */
  readonly parameterCount: number;
}

const base = "https://download.pytorch.org/models/";

function published(
  arch: Architecture,
  hashPrefix: string,
  sizeMiB: number,
  [top1, top5]: [number, number],
  gmacs: number,
  parameterCount: number,
  exact: { sha256?: string; bytes?: number } = {},
): KnownWeights {
  const file = `${arch}-${hashPrefix}.pth`;
  const accuracy = Object.freeze({ top1, top5 });
  const name = "IMAGENET1K_V1";
  const url = base + file;
  return Object.freeze({
    ...{ arch, name, file, url, hashPrefix, ...exact },
    ...{ sizeMiB, accuracy, gmacs, parameterCount },
  });
}

/** The published weights by architecture. */
export const weightsTable: Readonly<Record<Architecture, KnownWeights>> = {
  vgg11: published("vgg11", "8a719046", 506.84, [69.02, 88.628], 7.609, 132_863_336),
  vgg11_bn: published("vgg11_bn", "6002323d", 506.881, [70.37, 89.81], 7.609, 132_868_840),
  vgg13: published("vgg13", "19584684", 507.545, [69.928, 89.246], 11.308, 133_047_848),
  vgg13_bn: published("vgg13_bn", "abd245e5", 507.59, [71.586, 90.374], 11.308, 133_053_736),
  vgg16: published("vgg16", "397923af", 527.796, [71.592, 90.382], 15.47, 138_357_544, {
    sha256: "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    bytes: 553_433_881,
  }),
  vgg16_bn: published("vgg16_bn", "6c64b313", 527.866, [73.36, 91.516], 15.47, 138_365_992),
  vgg19: published("vgg19", "dcbb9e9d", 548.051, [72.376, 90.876], 19.632, 143_667_240),
  vgg19_bn: published("vgg19_bn", "c79401a0", 548.143, [74.218, 91.842], 19.632, 143_678_248),
};

/**
 * Returns the published weights of an architecture.
 * @param name "IMAGENET1K_V1", or "DEFAULT", which is the same
 * @throws {TypeError} not a string @throws {RangeError} an unknown architecture or name
 * @example const { url, accuracy } = knownWeights("vgg11");
 */
export function knownWeights(arch: Architecture, name = "DEFAULT"): KnownWeights {
  const weights = weightsTable[checkOneOf(arch, "arch", architectures)];
  checkOneOf(name, "name", ["DEFAULT", weights.name]);
  return weights;
}

/**
 * Lists all published weights, the smallest network first.
 * @example for (const { arch, sizeMiB } of listWeights()) console.log(arch, sizeMiB);
 */
export function listWeights(): readonly KnownWeights[] {
  return Object.values(weightsTable);
}

/** Whether a string names published weights rather than a file. */
export function isWeightsName(name: string): boolean {
  return name === "DEFAULT" || name === "IMAGENET1K_V1";
}

/**
 * Downloads published weights if they are not on this machine. Returns their path. Each call verifies the file's
 * SHA-256. Processes that need the same file at the same time download it once.
 * @param name "IMAGENET1K_V1", or "DEFAULT", which is the same
 * @throws {TypeError|RangeError} an argument of another type, or an unknown value
 * @throws {VggError} DOWNLOAD_FAILED, OFFLINE, HASH_MISMATCH, DISK_FULL, FOLDER_UNUSABLE
 * @throws the signal's reason
 * @example
 * const path = await pullWeights("vgg11", "DEFAULT", {
 *   onProgress: ({ receivedBytes, totalBytes }) => console.log(receivedBytes, totalBytes),
 * });
 */
export async function pullWeights(
  arch: Architecture,
  name = "DEFAULT",
  options: PullOptions = {},
): Promise<string> {
  return (await pull(knownWeights(arch, name), options)).path;
}
