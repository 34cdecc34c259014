// The definition of gradients, and of the loss and the statistics of training: plain TypeScript and float64, as test/reference.ts.
import type { Numbers } from "./reference.ts";

/** Numbers that are all 0. */
export const zeros = (shape: readonly number[]): Numbers => ({
  shape,
  data: new Float64Array(shape.reduce((a, b) => a * b, 1)),
});

type Sides = readonly [number, number, number, number];

/** The gradients of a layer by its input, weight and bias. */
export interface LayerGradients {
  readonly input: Numbers;
  readonly weight: Numbers;
  readonly bias: Numbers;
}

/** The gradients of a convolution. @param dy the gradient by its output, before any ReLU (N, K, H', W') */
export function conv2dGradient(
  dy: Numbers,
  input: Numbers,
  weight: Numbers,
  { stride = 1, padding = 0 }: { stride?: number; padding?: number } = {},
): LayerGradients {
  const [images, channels, height, width] = input.shape as Sides;
  const [filters, , r, s] = weight.shape as Sides;
  const [, , rows, columns] = dy.shape as Sides;
  const [dx, dw, db] = [zeros(input.shape), zeros(weight.shape), zeros([filters])];
  for (let n = 0; n < images; n++)
    for (let k = 0; k < filters; k++)
      for (let y = 0; y < rows; y++)
        for (let x = 0; x < columns; x++) {
          const gradient = dy.data[((n * filters + k) * rows + y) * columns + x]!;
          db.data[k]! += gradient;
          for (let c = 0; c < channels; c++)
            for (let v = 0; v < r; v++) {
              const row = y * stride - padding + v;
              if (row < 0 || row >= height) continue;
              for (let u = 0; u < s; u++) {
                const column = x * stride - padding + u;
                if (column < 0 || column >= width) continue;
                const from = ((n * channels + c) * height + row) * width + column;
                const by = ((k * channels + c) * r + v) * s + u;
                dx.data[from]! += gradient * weight.data[by]!;
                dw.data[by]! += gradient * input.data[from]!;
              }
            }
        }
  return { input: dx, weight: dw, bias: db };
}

/** The gradients of a linear layer. @param dy the gradient by its output, before any ReLU (N, O) */
export function gemmGradient(dy: Numbers, input: Numbers, weight: Numbers): LayerGradients {
  const [outputs, features] = weight.shape as [number, number];
  const [dx, dw, db] = [zeros(input.shape), zeros(weight.shape), zeros([outputs])];
  for (let o = 0; o < outputs; o++)
    for (let n = 0; n < input.shape[0]!; n++) {
      const gradient = dy.data[n * outputs + o]!;
      db.data[o]! += gradient;
      if (gradient === 0) continue;
      for (let i = 0; i < features; i++) {
        dx.data[n * features + i]! += gradient * weight.data[o * features + i]!;
        dw.data[o * features + i]! += gradient * input.data[n * features + i]!;
      }
    }
  return { input: dx, weight: dw, bias: db };
}

/** The gradient by the input of a ReLU. As PyTorch's, it is 0 where the output is 0 or less, and passes where it is NaN. */
export function reluGradient(dy: Numbers, output: Numbers): Numbers {
  return { shape: dy.shape, data: dy.data.map((g, i) => (output.data[i]! <= 0 ? 0 : g)) };
}

/** The gradient by the input of a max pool. Each window's gradient goes to its first maximum; a NaN counts as one, and the last NaN wins. */
export function maxPool2dGradient(
  dy: Numbers,
  input: Numbers,
  options: { size?: number; stride?: number; padding?: number } = {},
): Numbers {
  const { size = 2, stride = size, padding = 0 } = options;
  const [images, channels, height, width] = input.shape as Sides;
  const [, , rows, columns] = dy.shape as Sides;
  const dx = zeros(input.shape);
  for (let plane = 0; plane < images * channels; plane++)
    for (let y = 0; y < rows; y++)
      for (let x = 0; x < columns; x++) {
        let best = -1;
        for (let v = y * stride - padding; v < y * stride - padding + size; v++)
          for (let u = x * stride - padding; u < x * stride - padding + size; u++) {
            if (v < 0 || v >= height || u < 0 || u >= width) continue;
            const at = (plane * height + v) * width + u;
            const value = input.data[at]!;
            if (best < 0 || value > input.data[best]! || Number.isNaN(value)) best = at;
          }
        dx.data[best]! += dy.data[(plane * rows + y) * columns + x]!;
      }
  return dx;
}

/** The gradient by the input, of this shape, of an adaptive average pool. */
export function adaptiveAvgPool2dGradient(dy: Numbers, shape: readonly number[]): Numbers {
  const [images, channels, height, width] = shape as Sides;
  const [, , rows, columns] = dy.shape as Sides;
  const bin = (i: number, bins: number, extent: number) =>
    [Math.floor((i * extent) / bins), Math.ceil(((i + 1) * extent) / bins)] as const;
  const dx = zeros(shape);
  for (let plane = 0; plane < images * channels; plane++)
    for (let y = 0; y < rows; y++)
      for (let x = 0; x < columns; x++) {
        const [top, bottom] = bin(y, rows, height);
        const [left, right] = bin(x, columns, width);
        const share =
          dy.data[(plane * rows + y) * columns + x]! / ((bottom - top) * (right - left));
        for (let v = top; v < bottom; v++)
          for (let u = left; u < right; u++) dx.data[(plane * height + v) * width + u]! += share;
      }
  return dx;
}

/** The mean and the biased variance of each channel over the batch. */
export function batchStatistics(input: Numbers): { mean: Numbers; variance: Numbers } {
  const [images, channels, height, width] = input.shape as Sides;
  const pixels = height * width;
  const [mean, variance] = [zeros([channels]), zeros([channels])];
  const over = (c: number, value: (x: number) => number) => {
    let sum = 0;
    for (let n = 0; n < images; n++)
      for (let i = 0; i < pixels; i++) sum += value(input.data[(n * channels + c) * pixels + i]!);
    return sum / (images * pixels);
  };
  for (let c = 0; c < channels; c++) {
    mean.data[c] = over(c, (x) => x);
    variance.data[c] = over(c, (x) => (x - mean.data[c]!) ** 2);
  }
  return { mean, variance };
}

/** A running statistic after a batch: `momentum` is the weight of the new value. @param count the pixels of a channel for an unbiased variance, or 0 for a mean */
export function updateRunning(
  running: Numbers,
  batch: Numbers,
  count = 0,
  momentum = 0.1,
): Numbers {
  const scale = count === 0 ? 1 : count / (count - 1);
  const data = running.data.map(
    (value, c) => (1 - momentum) * value + momentum * scale * batch.data[c]!,
  );
  return { shape: running.shape, data };
}

/**
 * The gradients of a batch normalisation, before any ReLU.
 * @param statistics the mean and variance that the forward used
 * @param isFrozen they are running statistics, which do not depend on the input
 */
export function batchNormGradient(
  dy: Numbers,
  input: Numbers,
  weight: Numbers,
  { mean, variance }: { mean: Numbers; variance: Numbers },
  isFrozen: boolean,
  epsilon = 1e-5,
): LayerGradients {
  const [images, channels, height, width] = input.shape as Sides;
  const pixels = height * width;
  const count = images * pixels;
  const [dx, dw, db] = [zeros(input.shape), zeros([channels]), zeros([channels])];
  for (let c = 0; c < channels; c++) {
    const inverse = 1 / Math.sqrt(variance.data[c]! + epsilon);
    const normalised = (i: number) => (input.data[i]! - mean.data[c]!) * inverse;
    const visit = (use: (i: number) => void) => {
      for (let n = 0; n < images; n++)
        for (let p = 0; p < pixels; p++) use((n * channels + c) * pixels + p);
    };
    visit((i) => {
      db.data[c]! += dy.data[i]!;
      dw.data[c]! += dy.data[i]! * normalised(i);
    });
    visit((i) => {
      const throughStatistics = isFrozen ? 0 : (db.data[c]! + normalised(i) * dw.data[c]!) / count;
      dx.data[i] = weight.data[c]! * inverse * (dy.data[i]! - throughStatistics);
    });
  }
  return { input: dx, weight: dw, bias: db };
}

/** Keeps the elements whose mask is not 0, and scales them by 1 / (1 - p). It is its own gradient. */
export function dropout(input: Numbers, mask: ArrayLike<number>, p: number): Numbers {
  const scale = 1 / (1 - p);
  return { shape: input.shape, data: input.data.map((x, i) => (mask[i] === 0 ? 0 : x * scale)) };
}

/**
 * PyTorch's CrossEntropyLoss with `mean`. With class weights both parts are divided by the sum of the labels' weights.
 * @returns the loss, the number of images whose greatest logit, the first of equal ones, is their label's, and the gradient by the logits
 */
export function crossEntropy(
  logits: Numbers,
  labels: ArrayLike<number>,
  { smoothing = 0, classWeights }: { smoothing?: number; classWeights?: readonly number[] } = {},
): { loss: number; correct: number; gradient: Numbers } {
  const [images, classes] = logits.shape as [number, number];
  const weightOf = (c: number) => classWeights?.[c] ?? 1;
  let total = 0;
  for (let n = 0; n < images; n++) total += weightOf(labels[n]!);
  const gradient = zeros(logits.shape);
  let loss = 0;
  let correct = 0;
  for (let n = 0; n < images; n++) {
    const row = logits.data.subarray(n * classes, (n + 1) * classes);
    const label = labels[n]!;
    const greatest = row.reduce((a, b) => Math.max(a, b));
    if (row.indexOf(greatest) === label) correct++;
    const logSum = greatest + Math.log(row.reduce((sum, x) => sum + Math.exp(x - greatest), 0));
    const share = (c: number) =>
      ((c === label ? (1 - smoothing) * weightOf(c) : 0) + (smoothing / classes) * weightOf(c)) /
      total;
    let shares = 0;
    for (let c = 0; c < classes; c++) {
      shares += share(c);
      loss += share(c) * (logSum - row[c]!);
    }
    for (let c = 0; c < classes; c++)
      gradient.data[n * classes + c] = shares * Math.exp(row[c]! - logSum) - share(c);
  }
  return { loss, correct, gradient };
}
