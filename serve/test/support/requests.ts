// Requests of the small network, and its answers by the library.
import { Tensor, type Vgg } from "vgg-cudnn";
import { expect } from "vitest";
import type { InferRequest, InputTensor } from "../../lib/protocol/types.ts";
import { fileOf, pixelsOf, side, terms } from "./small-model.ts";

/** A request of one input; images as files if nothing else is said. */
export const request = (
  input: Partial<InputTensor>,
  more: Partial<InferRequest> = {},
): InferRequest => ({
  ...terms(),
  model: "small",
  inputs: [{ name: "image", datatype: "BYTES", shape: [1], data: [], parameters: {}, ...input }],
  outputs: [],
  ...more,
});

/** An input with the files of images. */
export const files = (...numbers: number[]) => ({
  shape: [numbers.length, 1],
  data: numbers.map(fileOf),
});

export const floats = (data: unknown) => data as Float32Array;

/** The logits of images of random pixels, by the library. */
export async function logitsOf(model: Vgg, ...numbers: number[]) {
  const { mean, std } = model.preprocessing!;
  const area = side * side;
  const images = new Float32Array(numbers.length * 3 * area);
  for (const [at, number] of numbers.entries()) {
    const pixels = pixelsOf(number);
    for (let i = 0; i < 3 * area; i++) {
      const channel = i % 3;
      const value = (pixels[i]! / 255 - mean[channel]!) / std[channel]!;
      images[(at * 3 + channel) * area + Math.floor(i / 3)] = value;
    }
  }
  const tensor = new Tensor([numbers.length, 3, side, side], images);
  return { tensor, ...(await model.forward(tensor)) };
}

export function softmaxOf(logits: Float32Array): number[] {
  const exponentials = [...logits].map(Math.exp);
  const sum = exponentials.reduce((a, b) => a + b);
  return exponentials.map((value) => value / sum);
}

export function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>) {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) expect(actual[i]).toBeCloseTo(expected[i]!, 4);
}
