// Adds up a model's answers on images with known classes: accuracy, confusions, precision and recall.
import type { Prediction } from "./images/classify.js";

/** What the answers say about one class. */
export interface ClassReport {
  readonly index: number;
  readonly label: string;
  /** The number of images of this class. */
  readonly images: number;
  /** The number of images of this class whose first answer is this class. */
  readonly correct: number;
  /** The number of images of any class whose first answer is this class. */
  readonly predicted: number;
  /** The share of `predicted` that is correct, 0 … 1, or null if the class is never predicted. */
  readonly precision: number | null;
  /** The share of `images` that is correct, 0 … 1, or null if the class has no image. */
  readonly recall: number | null;
  /** The harmonic mean of precision and recall, 0 … 1, or null if the class has no image. */
  readonly f1: number | null;
  /** The most frequent wrong answer, if there is one. */
  readonly confusedWith?: {
    readonly index: number;
    readonly label: string;
    readonly images: number;
  };
}

/** Means over the classes that have images. The precision of a class that is never predicted counts as 0. */
export interface MacroAverages {
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
}

/** A cell of the confusion matrix that is not 0. */
export interface Confusion {
  /** The index of the true class. */
  readonly truth: number;
  /** The index of the first answer. */
  readonly prediction: number;
  readonly images: number;
}

export interface ValidationSummary {
  readonly images: number;
  /** The share of images whose first answer is right, 0 … 1. */
  readonly top1: number;
  /** The share of images whose first five answers include the right one. Absent for five classes or fewer. */
  readonly top5?: number;
  readonly macro: MacroAverages;
  /** The classes that have images or are predicted, by index. */
  readonly classes: readonly ClassReport[];
  /** Rows by true class, then by answer. */
  readonly confusion: readonly Confusion[];
}

/** The number of answers that acc@5 looks at. */
const most = 5;

const compareIndices = ([a]: [number, unknown], [b]: [number, unknown]) => a - b;

/** Counts the answers of a model. */
export class Validation {
  readonly #labels: (index: number) => string;
  readonly #numClasses: number;
  #images = 0;
  #top1 = 0;
  #top5 = 0;
  /** The number of images by true class and by first answer. */
  readonly #named = new Map<number, Map<number, number>>();

  constructor(numClasses: number, labels: (index: number) => string) {
    this.#numClasses = numClasses;
    this.#labels = labels;
  }

  /** Counts an image. @param predictions at least five, or all if there are fewer, the best first */
  add(truth: number, predictions: readonly Prediction[]): void {
    this.#images++;
    const first = predictions[0]!.index;
    if (first === truth) this.#top1++;
    if (predictions.slice(0, most).some(({ index }) => index === truth)) this.#top5++;
    const row = this.#named.get(truth) ?? new Map<number, number>();
    row.set(first, (row.get(first) ?? 0) + 1);
    this.#named.set(truth, row);
  }

  #report(index: number, predicted: number): ClassReport {
    const row = this.#named.get(index) ?? new Map<number, number>();
    const images = [...row.values()].reduce((sum, n) => sum + n, 0);
    const correct = row.get(index) ?? 0;
    const wrong = [...row]
      .filter(([named]) => named !== index)
      .sort((a, b) => b[1] - a[1] || a[0] - b[0])[0];
    return {
      index,
      label: this.#labels(index),
      images,
      correct,
      predicted,
      precision: predicted === 0 ? null : correct / predicted,
      recall: images === 0 ? null : correct / images,
      f1: images === 0 ? null : (2 * correct) / (images + predicted),
      ...(wrong === undefined
        ? {}
        : { confusedWith: { index: wrong[0], label: this.#labels(wrong[0]), images: wrong[1] } }),
    };
  }

  /** Summarises the answers. Shares of no images are NaN. */
  summary(): ValidationSummary {
    const confusion = [...this.#named]
      .sort(compareIndices)
      .flatMap(([truth, row]) =>
        [...row]
          .sort(compareIndices)
          .map(([prediction, images]) => ({ truth, prediction, images })),
      );
    const predicted = new Map<number, number>();
    for (const { truth, prediction, images } of confusion) {
      predicted.set(prediction, (predicted.get(prediction) ?? 0) + images);
      predicted.set(truth, predicted.get(truth) ?? 0);
    }
    const classes = [...predicted]
      .sort(compareIndices)
      .map(([index, images]) => this.#report(index, images));
    const real = classes.filter(({ images }) => images > 0);
    const mean = (pick: (report: ClassReport) => number | null) =>
      real.reduce((sum, report) => sum + (pick(report) ?? 0), 0) / real.length;
    return {
      images: this.#images,
      top1: this.#top1 / this.#images,
      ...(this.#numClasses > most ? { top5: this.#top5 / this.#images } : {}),
      macro: {
        precision: mean(({ precision }) => precision),
        recall: mean(({ recall }) => recall),
        f1: mean(({ f1 }) => f1),
      },
      classes,
      confusion,
    };
  }
}

/** Returns the classes with the lowest recall, the worst first. */
export function worstClasses(classes: readonly ClassReport[], count: number): ClassReport[] {
  return classes
    .filter(({ images }) => images > 0)
    .sort((a, b) => a.recall! - b.recall! || b.images - a.images || a.index - b.index)
    .slice(0, count);
}
