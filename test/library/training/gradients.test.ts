// The reference's gradients against central finite differences, away from the decisions of ReLUs and pools.
import { describe, expect, it } from "vitest";
import {
  adaptiveAvgPool2d,
  batchNorm,
  conv2d,
  gemm,
  maxPool2d,
  type Numbers,
  numbers,
  relu,
} from "../../reference.ts";
import {
  adaptiveAvgPool2dGradient,
  batchNormGradient,
  batchStatistics,
  conv2dGradient,
  crossEntropy,
  dropout,
  gemmGradient,
  maxPool2dGradient,
  reluGradient,
} from "../../reference-gradients.ts";
import { Random } from "../../support/mutate/damage.ts";

const random = new Random(5, 0);
const unit = () => random.below(2 ** 30) / 2 ** 30;
const uniform = (...shape: number[]) => numbers(shape, () => 2 * unit() - 1);
/** Distinct numbers that are at least 0.01 apart, and from 0: a small change alters no decision. */
function apart(...shape: number[]): Numbers {
  const count = shape.reduce((a, b) => a * b, 1);
  const values = Array.from({ length: count }, (_, i) => 0.02 * (i - count / 2) + 0.01);
  for (let i = count - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [values[i], values[j]] = [values[j]!, values[i]!];
  }
  return { shape, data: Float64Array.from(values) };
}

/** Expects the gradient of Σ dy · f(x) by x. */
function expectGradient(
  of: () => Numbers,
  x: Numbers,
  dy: Numbers,
  gradient: Numbers,
  what = "input",
): void {
  expect(gradient.shape, what).toEqual(x.shape);
  const dot = () => of().data.reduce((sum, y, i) => sum + y * dy.data[i]!, 0);
  const delta = 1e-5;
  let error = 0;
  let norm = 0;
  for (let i = 0; i < x.data.length; i++) {
    const at = x.data[i]!;
    x.data[i] = at + delta;
    const above = dot();
    x.data[i] = at - delta;
    const below = dot();
    x.data[i] = at;
    error += ((above - below) / (2 * delta) - gradient.data[i]!) ** 2;
    norm += gradient.data[i]! ** 2;
  }
  expect(norm, what).toBeGreaterThan(0);
  expect(Math.sqrt(error / norm), what).toBeLessThan(1e-6);
}

describe("the gradient of", () => {
  it.each([
    ["3 × 3 with padding", 3, 1, 1],
    ["3 × 3 without padding", 3, 1, 0],
    ["5 × 5 with stride 2", 5, 2, 2],
    ["1 × 1 with stride 3", 1, 3, 0],
  ])("a convolution of %s", (_, size, stride, padding) => {
    const [x, weight, bias] = [uniform(2, 3, 7, 6), uniform(4, 3, size, size), uniform(4)];
    const options = { stride, padding };
    const of = () => conv2d(x, weight, { ...options, bias });
    const dy = uniform(...of().shape);
    const gradients = conv2dGradient(dy, x, weight, options);
    expectGradient(of, x, dy, gradients.input);
    expectGradient(of, weight, dy, gradients.weight, "weight");
    expectGradient(of, bias, dy, gradients.bias, "bias");
  });

  it("a linear layer", () => {
    const [x, weight, bias, dy] = [uniform(3, 7), uniform(5, 7), uniform(5), uniform(3, 5)];
    const of = () => gemm(x, weight, { bias });
    const gradients = gemmGradient(dy, x, weight);
    expectGradient(of, x, dy, gradients.input);
    expectGradient(of, weight, dy, gradients.weight, "weight");
    expectGradient(of, bias, dy, gradients.bias, "bias");
  });

  it("a ReLU, which lets a NaN through and nothing at 0", () => {
    const [x, dy] = [apart(2, 3, 4, 5), uniform(2, 3, 4, 5)];
    expectGradient(() => relu(x), x, dy, reluGradient(dy, relu(x)));
    const edge = { shape: [1, 3], data: Float64Array.of(0, Number.NaN, -0) };
    const one = { shape: [1, 3], data: Float64Array.of(1, 1, 1) };
    expect([...reluGradient(one, relu(edge)).data]).toEqual([0, 1, 0]);
  });

  it.each([
    ["2 × 2, which drops an odd row and column", 2, 2, 0],
    ["3 × 3 with overlaps and padding", 3, 2, 1],
    ["3 × 3 of stride 1", 3, 1, 1],
  ])("a max pool of %s", (_, size, stride, padding) => {
    const x = apart(2, 2, 7, 9);
    const of = () => maxPool2d(x, { size, stride, padding });
    const dy = uniform(...of().shape);
    const gradient = maxPool2dGradient(dy, x, { size, stride, padding });
    expectGradient(of, x, dy, gradient);
    if (size === 2) expect(gradient.data[6 * 9 + 8]).toBe(0);
  });

  it("a max pool goes to the first of equal values, and to the last NaN", () => {
    const x = { shape: [1, 1, 2, 4], data: Float64Array.of(3, 3, Number.NaN, 9, 3, 1, 2, 5) };
    const dy = { shape: [1, 1, 1, 2], data: Float64Array.of(1, 2) };
    expect([...maxPool2dGradient(dy, x).data]).toEqual([1, 0, 2, 0, 0, 0, 0, 0]);
    x.data[7] = Number.NaN;
    expect([...maxPool2dGradient(dy, x).data]).toEqual([1, 0, 0, 0, 0, 0, 0, 2]);
  });

  it.each([
    [7, 7, 3],
    [1, 1, 7],
    [5, 8, 7],
  ])("an adaptive average pool of %i × %i pixels to %i × %3$i", (height, width, size) => {
    const [x, dy] = [uniform(2, 2, height, width), uniform(2, 2, size, size)];
    const of = () => adaptiveAvgPool2d(x, [size, size]);
    expectGradient(of, x, dy, adaptiveAvgPool2dGradient(dy, x.shape));
  });

  it.each([false, true])("a batch normalisation, with frozen statistics: %s", (isFrozen) => {
    const x = uniform(3, 2, 4, 5);
    const [weight, bias, dy] = [uniform(2), uniform(2), uniform(3, 2, 4, 5)];
    const running = { mean: uniform(2), variance: numbers([2], () => 0.5 + unit()) };
    const statistics = () => (isFrozen ? running : batchStatistics(x));
    const of = () => batchNorm(x, { weight, bias, ...statistics() });
    const gradients = batchNormGradient(dy, x, weight, statistics(), isFrozen);
    expectGradient(of, x, dy, gradients.input);
    expectGradient(of, weight, dy, gradients.weight, "weight");
    expectGradient(of, bias, dy, gradients.bias, "bias");
  });

  it("a dropout is the same dropout", () => {
    const [x, dy, mask] = [uniform(4, 6), uniform(4, 6), apart(4, 6).data.map((v) => +(v > 0))];
    expectGradient(() => dropout(x, mask, 0.3), x, dy, dropout(dy, mask, 0.3));
  });

  it.each([
    ["alone", {}],
    ["with class weights", { classWeights: [0.5, 2, 0, 1, 1.5] }],
    ["with smoothing", { smoothing: 0.1 }],
    ["with both", { smoothing: 0.3, classWeights: [0.5, 2, 0.1, 1, 1.5] }],
  ])("the cross entropy %s", (_, options) => {
    const logits = uniform(4, 5);
    const labels = [0, 3, 1, 4];
    const one = { shape: [1], data: Float64Array.of(1) };
    const of = () => ({
      shape: [1],
      data: Float64Array.of(crossEntropy(logits, labels, options).loss),
    });
    expectGradient(of, logits, one, crossEntropy(logits, labels, options).gradient);
  });
});

it("the cross entropy counts the images whose greatest logit is their label's", () => {
  const logits = { shape: [3, 3], data: Float64Array.of(1, 2, 3, 5, 5, 0, 0, -1, -2) };
  expect(crossEntropy(logits, [2, 1, 0]).correct).toBe(2);
  const alone = { shape: [1, 2], data: Float64Array.of(1000, -1000) };
  expect(crossEntropy(alone, [1])).toMatchObject({ loss: 2000, correct: 0 });
});
