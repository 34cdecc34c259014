// The options of GraphBuilder's methods.
import type { ParameterValue } from "./value.js";

/** Options of `normalize`. */
export interface NormalizeOptions {
  /** The mean of each channel. */
  mean: readonly number[];
  /** The standard deviation of each channel, not 0. */
  std: readonly number[];
}

/** Options of `conv2d`. */
export interface Conv2dOptions {
  /** Shape (K). Without it nothing is added. */
  bias?: ParameterValue | undefined;
  /** The number of pixels from one window to the next, in both directions. Default 1. */
  stride?: number | undefined;
  /** The number of pixels of zeros at each side, less than the filter's longer side. Default 0. */
  padding?: number | undefined;
  /** Whether negative results become 0. Default false. */
  relu?: boolean | undefined;
  /**
   * Whether a CPU accepts only its smallest rounding errors, for outputs that are subtracted from each other. It multiplies
   * about a quarter more. A GPU computes as without it. Default false.
   */
  precise?: boolean | undefined;
}

/** Options of `batchNorm`. */
export interface BatchNormOptions {
  /** Shape (C): the factor after the division by the deviation. */
  weight: ParameterValue;
  /** Shape (C): added last. */
  bias: ParameterValue;
  /** Shape (C): subtracted first. */
  mean: ParameterValue;
  /** Shape (C): the squared deviation. */
  variance: ParameterValue;
  /** A number above 0 that is added to the variance. Default 0.00001. */
  epsilon?: number | undefined;
  /** Whether negative results become 0. Default false. */
  relu?: boolean | undefined;
}

/** Options of `maxPool2d`. */
export interface MaxPool2dOptions {
  /** Height and width of a window, in pixels. Default 2. */
  size?: number | undefined;
  /** The number of pixels from one window to the next, in both directions. Default: `size`. */
  stride?: number | undefined;
  /** The number of pixels at each side, which are never the maximum; at most half of `size`. Default 0. */
  padding?: number | undefined;
}

/** Options of `gemm`. */
export interface GemmOptions {
  /** Shape (O). Without it nothing is added. */
  bias?: ParameterValue | undefined;
  /** Whether negative results become 0. Default false. */
  relu?: boolean | undefined;
}
