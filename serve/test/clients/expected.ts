// What the library says of images, and what the answers of the clients are compared with.
import { expect, inject } from "vitest";
import { photos } from "./images.ts";

/** The protocol's extensions that the server has. */
export const extensions = [
  ...["binary_tensor_data", "classification", "schedule_policy", "parameters"],
  ...["model_configuration", "statistics", "model_repository"],
];

/** What `vgg classify` says of real images. */
export function classesOf(images: readonly string[]) {
  const { classes } = inject("shared");
  return images.map((image) => classes[photos.indexOf(image)]!);
}

/** Compares texts VALUE:INDEX:LABEL of real images with what `vgg classify` says of them. */
export function expectClasses(
  images: readonly string[],
  classes: readonly (readonly string[])[],
): void {
  const expected = classesOf(images);
  // Each image has a class of its own, so that a wrong order is seen.
  expect(new Set(expected.map(([best]) => best!.index)).size).toBe(images.length);
  expect(classes.length).toBe(images.length);
  for (const [image, predictions] of expected.entries()) {
    const found = classes[image]!.map((text) => /^(\d\.\d{6}):(\d+):(.*)$/.exec(text)!);
    expect(found.map(([, , index, label]) => [Number(index), label])).toEqual(
      predictions.map(({ index, label }) => [index, label]),
    );
    for (const [at, { probability }] of predictions.entries())
      expect(Math.abs(Number(found[at]![1]) - probability)).toBeLessThan(2e-6);
  }
}

export function softmax(logits: Float32Array): number[] {
  const most = Math.max(...logits);
  const exponentials = [...logits].map((value) => Math.exp(value - most));
  const sum = exponentials.reduce((a, b) => a + b);
  return exponentials.map((value) => value / sum);
}
