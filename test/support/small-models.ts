// Small models for the tests of loading: their options, and their tensors in the form that writers accept.
import type { LazyTensor } from "../../lib/checkpoint/safetensors.ts";
import type { DType, Tensor } from "../../lib/index.ts";
import { testDevice } from "./devices.ts";

/** A VGG with ten classes for images of 32 × 32. */
export const small = {
  device: testDevice,
  imageSize: 32,
  numClasses: 10,
  hiddenFeatures: 64,
} as const;
/** The shape of a batch of its images. */
export const shape = [2, 3, 32, 32];
/** The tensors as lazy tensors. Each is read when it is written. */
export const lazy = (tensors: ReadonlyMap<string, Tensor<DType>>): Map<string, LazyTensor> =>
  new Map(
    [...tensors].map(([name, t]) => [
      name,
      { shape: t.shape, dtype: t.dtype, read: async () => t },
    ]),
  );
