// PyTorch's results (golden/*.json), and the weights and images that they were computed from. These are a pure function of a
// seed, which golden/make_golden.py defines.
import { readdirSync, readFileSync } from "node:fs";
import type { Architecture, ParameterInfo } from "../../lib/index.ts";
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
    .filter((name) => name.endsWith(".json"))
    .sort();
}

export function readGolden(name: string): Golden {
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

/** Fills an array with value(u) for each element. u is the rule's uniform number in [0, 1). */
function fill(
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
  if (name.endsWith("running_var")) return fill(seed, index, shape, (u) => 1 + 0.5 * u);
  if (name.endsWith("running_mean") || name.endsWith("bias"))
    return fill(seed, index, shape, (u) => (2 * u - 1) * 0.1);
  if (shape.length === 1) return fill(seed, index, shape, (u) => 1 + 0.1 * (2 * u - 1));
  const bound = Math.sqrt(6 / shape.slice(1).reduce((a, b) => a * b, 1));
  return fill(seed, index, shape, (u) => (2 * u - 1) * bound);
}

export function goldenInput({ seed, batch, inChannels, imageSize }: Golden): Tensor {
  return fill(seed, 10_000, [batch, inChannels, imageSize, imageSize], (u) => 2 * u - 1);
}
