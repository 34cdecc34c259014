// Tensors of a file that need no file: the state dict of an architecture, other names for it, and what a refusal of it says.
import { expect } from "vitest";
import { contiguousStrides, type StoredTensor } from "../../lib/checkpoint/checkpoint.ts";
import { type Architecture, VggError } from "../../lib/index.ts";
import { elementCount } from "../../lib/tensor.ts";
import { parameterTable } from "../../lib/vgg/parameters.ts";
import { topology } from "../../lib/vgg/topology.ts";
import { identifyWeights } from "../../lib/vgg/weight-names.ts";

let offset = 0;
export function stored(shape: readonly number[]): StoredTensor {
  const elements = elementCount(shape);
  offset += 4 * elements + 4;
  const storage = { ...{ elements, offset }, dtype: "float32" as const };
  return {
    ...{ dtype: "float32", shape, strides: contiguousStrides(shape), offset: 0 },
    storage: { ...storage, crc: undefined, deflatedBytes: undefined },
  };
}

export type Tensors = Map<string, StoredTensor>;
export const stateDict = (
  arch: Architecture,
  sizes: { numClasses?: number; inChannels?: number; hiddenFeatures?: number } = {},
): Tensors =>
  new Map(parameterTable(topology(arch, sizes)).map(({ name, shape }) => [name, stored(shape)]));
export const renamed = (tensors: Tensors, change: (name: string) => string): Tensors =>
  new Map([...tensors].map(([name, tensor]) => [change(name), tensor]));
export const merged = (...all: Tensors[]): Tensors =>
  new Map(all.flatMap((tensors) => [...tensors]));
export const extra = (shapes: Record<string, number[]>): Tensors =>
  new Map(Object.entries(shapes).map(([name, shape]) => [name, stored(shape)]));

export const identify = (tensors: Tensors, arch?: Architecture, prefix?: string) =>
  identifyWeights({ path: "f.pth", arch, prefix }, tensors);

export function refusal(tensors: Tensors, arch?: Architecture, prefix?: string): VggError {
  try {
    identify(tensors, arch, prefix);
  } catch (error) {
    expect(error).toBeInstanceOf(VggError);
    const { code, message } = error as VggError;
    expect(code).toBe("STATE_DICT_MISMATCH");
    expect(message.startsWith("f.pth: Expected ")).toBe(true);
    expect(message.split("\n").length).toBeLessThanOrEqual(10);
    for (const line of message.split("\n")) expect(line.length, line).toBeLessThan(1000);
    return error as VggError;
  }
  throw new Error("Expected a refusal");
}
