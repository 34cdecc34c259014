// PyTorch's results (golden/*.json), and the weights and images that they were computed from. These are a pure function of a
// seed, which golden/make_golden.py defines.
import { readdirSync, readFileSync } from "node:fs";
import { expect } from "vitest";
import type { Architecture, ParameterInfo, Vgg } from "../../lib/index.ts";
import { Tensor } from "../../lib/index.ts";

export interface Golden {
  readonly arch: Architecture;
  readonly inChannels: number;
  readonly numClasses: number;
  readonly batch: number;
  readonly imageSize: number;
  readonly seed: number;
  readonly parameterCount: number;
  readonly logits: readonly (readonly number[])[];
  readonly top5: {
    readonly indices: readonly (readonly number[])[];
    readonly probabilities: readonly (readonly number[])[];
  };
  readonly layers: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly mean: number;
    readonly l2: number;
    readonly at: readonly number[];
    readonly values: readonly number[];
  }[];
}

const folder = new URL("../golden/", import.meta.url);

export function goldenNames(): string[] {
  return readdirSync(folder)
    .filter((name) => /^vgg.*\.json$/.test(name))
    .sort();
}

export function readGolden<File = Golden>(name: string): File {
  return JSON.parse(readFileSync(new URL(name, folder), "utf8"));
}

function mix32(value: number): number {
  let x = value;
  x ^= x >>> 16;
  x = Math.imul(x, 0x7feb352d);
  x ^= x >>> 15;
  x = Math.imul(x, 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Fills an array with value(u) for each element of tensor `tensor`. u is the rule's uniform number in [0, 1). */
export function goldenFill(
  seed: number,
  tensor: number,
  shape: readonly number[],
  value: (u: number) => number,
): Tensor {
  const base = mix32(seed * 1000 + tensor);
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
  for (let i = 0; i < data.length; i++) data[i] = value((mix32((i + base) | 0) >>> 8) / 2 ** 24);
  return new Tensor(shape, data);
}

/** Entry `index` of the state_dict. */
export function goldenParameter(
  seed: number,
  index: number,
  { name, shape, dtype }: ParameterInfo,
): Tensor<"float32"> | Tensor<"int64"> {
  if (dtype === "int64") return new Tensor([], new BigInt64Array(1));
  if (name.endsWith("running_var")) return goldenFill(seed, index, shape, (u) => 1 + 0.5 * u);
  if (name.endsWith("running_mean") || name.endsWith("bias"))
    return goldenFill(seed, index, shape, (u) => (2 * u - 1) * 0.1);
  if (shape.length === 1) return goldenFill(seed, index, shape, (u) => 1 + 0.1 * (2 * u - 1));
  const bound = Math.sqrt(6 / shape.slice(1).reduce((a, b) => a * b, 1));
  return goldenFill(seed, index, shape, (u) => (2 * u - 1) * bound);
}

/** Images in [-1, 1): tensor `number` of the rule. */
export function goldenImages(seed: number, shape: readonly number[], number = 10_000): Tensor {
  return goldenFill(seed, number, shape, (u) => 2 * u - 1);
}

export function goldenInput({ seed, batch, inChannels, imageSize }: Golden): Tensor {
  return goldenImages(seed, [batch, inChannels, imageSize, imageSize]);
}

/** Some elements of a tensor, and its size as numbers. */
export interface Probe {
  readonly shape: readonly number[];
  readonly mean: number;
  readonly l2: number;
  readonly max: number;
  readonly at: readonly number[];
  readonly values: readonly number[];
}

/** Compares scattered elements relative to the typical element, then all elements by mean and norm. */
export function expectProbe(actual: Tensor, probe: Probe, tolerance: number, name: string): void {
  const data = actual.data as Float32Array;
  expect(data.length, name).toBe(probe.shape.reduce((a, b) => a * b, 1));
  const typical = probe.l2 / Math.sqrt(data.length);
  for (const [i, element] of probe.at.entries()) {
    expect(Math.abs(data[element]! - probe.values[i]!), `${name}[${element}]`).toBeLessThanOrEqual(
      tolerance * 4 * typical,
    );
  }
  const sum = data.reduce((total, x) => total + x, 0);
  const squares = data.reduce((total, x) => total + x * x, 0);
  expect(Math.abs(sum / data.length - probe.mean), `${name} mean`).toBeLessThanOrEqual(
    tolerance * typical,
  );
  const norm = Math.abs(Math.sqrt(squares) - probe.l2) / probe.l2;
  expect(norm, `${name} l2`).toBeLessThanOrEqual(tolerance);
}

/** The last network's weights: half a gigabyte takes seconds to make, and each device needs them. */
let last: { readonly key: string; readonly tensors: ReturnType<typeof goldenParameter>[] };

/** Sets the rule's weights. */
export async function setGoldenParameters(model: Vgg, seed: number): Promise<void> {
  const parameters = [...model.parameters()];
  const key = JSON.stringify([seed, parameters.map(({ name, shape }) => [name, shape])]);
  if (last?.key !== key)
    last = { key, tensors: parameters.map((each, index) => goldenParameter(seed, index, each)) };
  for (const [index, { name }] of parameters.entries())
    await model.setParameter(name, last.tensors[index]!);
}
