// Classifies the images of all jobs: a bounded number at one time, so that runs are full and memory is bounded.
import { setTimeout as sleep } from "node:timers/promises";
import { type Prediction, type Vgg, VggError } from "vgg-cudnn";
import type { Counts } from "./counts.js";
import { type JobImage, Refusal } from "./job.js";
import { Places } from "./places.js";
import type { ImageResult } from "./results.js";
import type { Sources } from "./sources.js";

/** Codes of failures that may be temporary. */
const temporary = ["IMAGE_TIMEOUT", "OUT_OF_MEMORY", "TIMED_OUT"];

/** Codes that say that the model cannot go on. */
const fatal = ["DEVICE_LOST", "DISPOSED", "ADDON_MISSING"];

/** Files and downloads at one time. */
const readers = 8;

/** The wait before the second try. It doubles with each. */
const firstPauseMs = 200;
const maxPauseMs = 5000;

export interface ClassifierSettings {
  readonly top: number;
  readonly attempts: number;
  readonly heldBytes: number;
  /** Images at one time. */
  readonly places: number;
}

/** Whether the worker, rather than the image, is the reason. */
export const isFatal = (error: unknown) => error instanceof VggError && fatal.includes(error.code);

/** Waits. @throws the reason of `signal` */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
  signal.throwIfAborted();
}

export class Classifier {
  readonly #vgg: Vgg;
  readonly #sources: Sources;
  readonly #counts: Counts;
  readonly #settings: ClassifierSettings;
  readonly #places: Places;
  readonly #readers = new Places(readers);
  readonly #bytes: Places;

  constructor(vgg: Vgg, sources: Sources, counts: Counts, settings: ClassifierSettings) {
    this.#vgg = vgg;
    this.#sources = sources;
    this.#counts = counts;
    this.#settings = settings;
    this.#places = new Places(settings.places);
    this.#bytes = new Places(settings.heldBytes);
  }

  /**
   * Returns the result of an image, which may be its failure.
   * @throws what is no image's fault: an error of the device; the reason of `signal`
   */
  async run(image: JobImage, signal: AbortSignal): Promise<ImageResult> {
    const release = await this.#places.acquire(1, signal);
    try {
      for (let attempt = 1; ; attempt++) {
        const outcome = await this.#try(image, signal);
        if (Array.isArray(outcome)) return { predictions: outcome };
        const { code, message, isTemporary } = outcome as Refusal;
        if (!isTemporary || attempt >= this.#settings.attempts)
          return { error: { code, message }, attempts: attempt };
        await pause(Math.min(firstPauseMs * 2 ** (attempt - 1), maxPauseMs), signal);
      }
    } finally {
      release();
    }
  }

  async #try(image: JobImage, signal: AbortSignal): Promise<readonly Prediction[] | Refusal> {
    let releaseBytes = () => {};
    try {
      const releaseReader = await this.#readers.acquire(1, signal);
      let bytes: Uint8Array;
      try {
        bytes = await this.#sources.read(image, signal);
        releaseBytes = await this.#bytes.acquire(bytes.byteLength, signal);
      } finally {
        releaseReader();
      }
      return await this.#classify(bytes, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Refusal) return error;
      if (!(error instanceof VggError) || isFatal(error)) throw error;
      // The library calls the image a buffer.
      const message = error.message.replace(/^a buffer of /, "an image of ");
      return new Refusal(error.code, message, temporary.includes(error.code));
    } finally {
      releaseBytes();
    }
  }

  async #classify(bytes: Uint8Array, signal: AbortSignal): Promise<readonly Prediction[]> {
    for (;;)
      try {
        return await this.#vgg.classify(bytes, {
          ...{ top: this.#settings.top, signal },
          onTiming: ({ batchSize }) => this.#counts.run(batchSize),
        });
      } catch (error) {
        // Nothing is wrong with the image: it can run after others.
        if (!(error instanceof VggError) || error.code !== "QUEUE_FULL") throw error;
        await pause(Math.min(Math.max(error.retryAfterMs ?? 0, 10), 1000), signal);
      }
  }
}
