// The reference's update rules against numbers that were worked out by hand, and what must hold for any numbers.
import { expect, it } from "vitest";
import type { Numbers } from "../../reference.ts";
import { adamw, clipFactor, gradientNorm, sgd } from "../../reference-optimizers.ts";

const vector = (...values: number[]): Numbers => ({
  shape: [values.length],
  data: Float64Array.from(values),
});

it("SGD makes the first momentum of the whole gradient, whatever the dampening", () => {
  const [w, g] = [vector(1), vector(0.5)];
  const options = { lr: 0.1, momentum: 0.9, dampening: 0.5, weightDecay: 0.2 };
  const first = sgd(w, g, undefined, options)!;
  expect(first.data[0]).toBeCloseTo(0.7, 12); // 0.5 + 0.2 · 1
  expect(w.data[0]).toBeCloseTo(0.93, 12);
  const second = sgd(w, g, first, options)!;
  // 0.9 · 0.7 + 0.5 · (0.5 + 0.2 · 0.93)
  expect(second.data[0]).toBeCloseTo(0.973, 12);
  expect(w.data[0]).toBeCloseTo(0.8327, 12);
});

it("SGD looks ahead with Nesterov, and keeps nothing without momentum", () => {
  const w = vector(1);
  const m = sgd(w, vector(0.5), undefined, { lr: 0.1, momentum: 0.9, nesterov: true })!;
  expect(w.data[0]).toBeCloseTo(1 - 0.1 * (0.5 + 0.9 * 0.5), 12);
  sgd(w, vector(1), m, { lr: 0.1, momentum: 0.9, nesterov: true });
  expect(m.data[0]).toBeCloseTo(1.45, 12);
  expect(w.data[0]).toBeCloseTo(0.905 - 0.1 * (1 + 0.9 * 1.45), 12);
  expect(sgd(w, vector(1), undefined, { lr: 0.1 })).toBeUndefined();
});

it("AdamW's first step moves each weight by its rate, and its decay is apart from the gradient", () => {
  const [w, g] = [vector(1, -2, 3), vector(1e-3, -20, 0)];
  const moments = adamw(w, g, undefined, { lr: 0.01, weightDecay: 0.5, epsilon: 0 });
  expect(moments.step).toBe(1);
  expect(w.data[0]).toBeCloseTo(0.995 - 0.01, 12);
  expect(w.data[1]).toBeCloseTo(-1.99 + 0.01, 12);
  expect(w.data[2]).toBeNaN(); // 0 / 0, which PyTorch's epsilon prevents
  const next = vector(1);
  const one = adamw(next, vector(1), undefined, { lr: 1, weightDecay: 0, epsilon: 0 });
  const two = adamw(next, vector(-1), one, { lr: 1, weightDecay: 0, epsilon: 0 });
  expect(two.step).toBe(2);
  // (0.9 · 0.1 - 0.1) / 0.19, over √(0.001999 / 0.001999)
  expect(next.data[0]).toBeCloseTo(0.01 / 0.19, 10);
});

it("the norm is over all gradients, and clipping never enlarges them", () => {
  expect(gradientNorm([vector(3), vector(0, 4)])).toBe(5);
  expect(clipFactor(5, 1)).toBeCloseTo(0.2, 6);
  expect(clipFactor(0.5, 1)).toBe(1);
  expect(clipFactor(0, 1)).toBe(1);
  expect(gradientNorm([vector(Number.POSITIVE_INFINITY)])).toBe(Number.POSITIVE_INFINITY);
});
