// Validates a model on images with known classes: accuracy, and which classes it confuses.
import type { Prediction } from "./classify.js";

export interface ClassAccuracy {
  readonly index: number;
  readonly label: string;
  readonly images: number;
  /** The share of images whose first answer is right, 0 … 1. */
  readonly accuracy: number;
  /** The most frequent wrong answer, if there is one. */
  readonly confusedWith?: {
    readonly index: number;
    readonly label: string;
    readonly images: number;
  };
}

export interface ValidationSummary {
  readonly images: number;
  /** The share of images whose first answer is right, 0 … 1. `top5`: one of the first five is right. */
  readonly top1: number;
  readonly top5: number;
  /** The classes with the lowest accuracy, the worst first. */
  readonly worst: readonly ClassAccuracy[];
}

/** Counts the answers of a model. */
export class Validation {
  readonly #labels: (index: number) => string;
  #images = 0;
  #top1 = 0;
  #top5 = 0;
  /** The number of images by true class and by first answer. */
  readonly #named = new Map<number, Map<number, number>>();

  constructor(labels: (index: number) => string) {
    this.#labels = labels;
  }

  /** Counts an image. @param predictions at least five, or all if there are fewer, the best first */
  add(truth: number, predictions: readonly Prediction[]): void {
    this.#images++;
    const first = predictions[0]!.index;
    if (first === truth) this.#top1++;
    if (predictions.slice(0, 5).some(({ index }) => index === truth)) this.#top5++;
    const row = this.#named.get(truth) ?? new Map<number, number>();
    row.set(first, (row.get(first) ?? 0) + 1);
    this.#named.set(truth, row);
  }

  /** Summarises the answers. @param count the number of worst classes to return */
  summary(count = 5): ValidationSummary {
    const classes = [...this.#named].map(([index, row]): ClassAccuracy => {
      const images = [...row.values()].reduce((sum, n) => sum + n, 0);
      const wrong = [...row].filter(([named]) => named !== index).sort((a, b) => b[1] - a[1])[0];
      return {
        index,
        label: this.#labels(index),
        images,
        accuracy: (row.get(index) ?? 0) / images,
        ...(wrong === undefined
          ? {}
          : { confusedWith: { index: wrong[0], label: this.#labels(wrong[0]), images: wrong[1] } }),
      };
    });
    const worst = classes
      .sort((a, b) => a.accuracy - b.accuracy || b.images - a.images || a.index - b.index)
      .slice(0, count);
    const share = (n: number) => (this.#images === 0 ? Number.NaN : n / this.#images);
    return { images: this.#images, top1: share(this.#top1), top5: share(this.#top5), worst };
  }
}

/**
 * Returns the class of each folder. If every folder's name is a number or label of a class, that decides. Otherwise the
 * classes are numbered in the order of the folders' names, as in torchvision's ImageFolder.
 * @throws {RangeError} neither fits
 */
export function folderClasses(
  folders: readonly string[],
  numClasses: number,
  labels: readonly string[] | undefined,
): Map<string, number> {
  const sorted = [...folders].sort();
  const byNumber = sorted.map((folder) =>
    /^\d+$/.test(folder) && Number(folder) < numClasses ? Number(folder) : -1,
  );
  const byName = sorted.map((folder) => labels?.indexOf(folder) ?? -1);
  const known = [byNumber, byName].find(
    (indices) => !indices.includes(-1) && new Set(indices).size === indices.length,
  );
  if (known !== undefined) return new Map(sorted.map((folder, i) => [folder, known[i]!]));
  if (sorted.length === numClasses) return new Map(sorted.map((folder, i) => [folder, i]));
  throw new RangeError(
    `Expected ${numClasses} folders, one for each class, or folders named by a class's number or label for DIR but received ${sorted.length} other folders`,
  );
}
