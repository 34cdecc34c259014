// The results of images in Redis: one value of JSON under each key. The first one stays, so a second run changes nothing.
import type { Redis } from "ioredis";
import type { Prediction } from "vgg-cudnn";

/** The value under the key of an image. */
export type ImageResult =
  | {
      /** The best classes, the best first. */
      readonly predictions: readonly Prediction[];
    }
  | {
      /** Why there are none: a code of the library's, or IMAGE_NOT_ALLOWED. */
      readonly error: { readonly code: string; readonly message: string };
      /** How often the image was tried. */
      readonly attempts: number;
    };

/** Where results go. */
export class Results {
  readonly #redis: Redis;
  readonly #prefix: string;
  readonly #expireSeconds: number | undefined;

  constructor(redis: Redis, prefix: string, expireSeconds: number | undefined) {
    this.#redis = redis;
    this.#prefix = prefix;
    this.#expireSeconds = expireSeconds;
  }

  /** Returns which of the keys have a result. */
  async present(keys: readonly string[]): Promise<Set<string>> {
    const asked = this.#redis.pipeline();
    for (const key of keys) asked.exists(this.#prefix + key);
    const answers = (await asked.exec()) ?? [];
    for (const [error] of answers) if (error !== null) throw error;
    return new Set(keys.filter((_, index) => answers[index]?.[1] === 1));
  }

  /** Writes a result unless there is one. */
  async write(key: string, result: ImageResult): Promise<void> {
    const name = this.#prefix + key;
    const value = JSON.stringify(result);
    if (this.#expireSeconds === undefined) await this.#redis.set(name, value, "NX");
    else await this.#redis.set(name, value, "EX", this.#expireSeconds, "NX");
  }
}
