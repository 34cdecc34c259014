// The graph of LPIPS: scaled pixels through VGG16 to the five layers whose differences count.
import { GraphBuilder } from "../graph/builder.js";
import type { GraphRecord } from "../graph/ops.js";
import { recordModules } from "../vgg/record.js";
import type { Topology } from "../vgg/topology.js";

/** The layers in the paper's names, and torchvision's names of these modules of vgg16. */
export const layers = [
  { name: "relu1_2", module: "features.3" },
  { name: "relu2_2", module: "features.8" },
  { name: "relu3_3", module: "features.15" },
  { name: "relu4_3", module: "features.22" },
  { name: "relu5_3", module: "features.29" },
] as const;

/** LPIPS's constants for samples in [-1, 1]: (x - shift) / scale. */
const shift = [-0.03, -0.088, -0.188];
const scale = [0.458, 0.448, 0.45];

/** How samples are given: bytes (H, W, 3), or float32 (3, H, W) in [-1, 1]. */
export type Samples = "uint8" | "float32";

/** Records samples (N, height, width, 3) uint8 or (N, 3, height, width) float32 → the outputs of the five modules. */
export function recordPerceptual(
  topology: Topology,
  samples: Samples,
  height: number,
  width: number,
): GraphRecord<Record<string, "float32">> {
  const builder = new GraphBuilder();
  const isBytes = samples === "uint8";
  const shape = isBytes ? [height, width, 3] : [3, height, width];
  const input = builder.input("samples", shape, samples);
  // Bytes are divided by 255 first, and LPIPS maps them to [-1, 1]: (2u - 1 - shift) / scale.
  const image = builder.normalize(input, {
    mean: isBytes ? shift.map((value) => (1 + value) / 2) : shift,
    std: isBytes ? scale.map((value) => value / 2) : scale,
  });
  const modules = layers.map(({ module }) => module);
  // The outputs for nearly equal images are subtracted from each other, which leaves mostly rounding errors.
  const { made } = recordModules(builder, topology, image, modules, { precise: true });
  return builder.finish(Object.fromEntries(modules.map((module) => [module, made.get(module)!])));
}
