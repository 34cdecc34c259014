// The definition of the update rules of training: plain TypeScript and float64, as test/reference.ts.
import type { Numbers } from "./reference.ts";
import { zeros } from "./reference-gradients.ts";

/** The l2 norm of all gradients together. */
export function gradientNorm(gradients: Iterable<Numbers>): number {
  let squares = 0;
  for (const { data } of gradients) for (const g of data) squares += g * g;
  return Math.sqrt(squares);
}

/** The factor of `clip_grad_norm_`. */
export const clipFactor = (norm: number, largest: number): number =>
  Math.min(1, largest / (norm + 1e-6));

export interface SgdOptions {
  readonly lr: number;
  readonly momentum?: number;
  readonly dampening?: number;
  readonly weightDecay?: number;
  readonly nesterov?: boolean;
}

/** One step of PyTorch's SGD, in place. @param momentum undefined before the first step @returns the new momentum, if there is any */
export function sgd(
  parameter: Numbers,
  gradient: Numbers,
  momentum: Numbers | undefined,
  options: SgdOptions,
): Numbers | undefined {
  const { lr, momentum: factor = 0, dampening = 0, weightDecay = 0, nesterov = false } = options;
  const next = factor === 0 ? undefined : (momentum ?? zeros(parameter.shape));
  for (let i = 0; i < parameter.data.length; i++) {
    const g = gradient.data[i]! + weightDecay * parameter.data[i]!;
    let step = g;
    if (next !== undefined) {
      const m = momentum === undefined ? g : factor * next.data[i]! + (1 - dampening) * g;
      next.data[i] = m;
      step = nesterov ? g + factor * m : m;
    }
    parameter.data[i]! -= lr * step;
  }
  return next;
}

export interface AdamwOptions {
  readonly lr: number;
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  readonly weightDecay?: number;
}

/** The state of AdamW: both moments, and the number of steps that made them. */
export interface Moments {
  readonly first: Numbers;
  readonly second: Numbers;
  readonly step: number;
}

/** One step of PyTorch's AdamW, in place. @param moments undefined before the first step @returns the new moments */
export function adamw(
  parameter: Numbers,
  gradient: Numbers,
  moments: Moments | undefined,
  options: AdamwOptions,
): Moments {
  const { lr, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.01 } = options;
  const first = moments?.first ?? zeros(parameter.shape);
  const second = moments?.second ?? zeros(parameter.shape);
  const step = (moments?.step ?? 0) + 1;
  const [unbias1, unbias2] = [1 - beta1 ** step, Math.sqrt(1 - beta2 ** step)];
  for (let i = 0; i < parameter.data.length; i++) {
    const g = gradient.data[i]!;
    const m = beta1 * first.data[i]! + (1 - beta1) * g;
    const v = beta2 * second.data[i]! + (1 - beta2) * g * g;
    first.data[i] = m;
    second.data[i] = v;
    const kept = parameter.data[i]! * (1 - lr * weightDecay);
    parameter.data[i] = kept - ((lr / unbias1) * m) / (Math.sqrt(v) / unbias2 + epsilon);
  }
  return { first, second, step };
}
