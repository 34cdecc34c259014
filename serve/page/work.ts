// Sends images to the server, one after another.
import { sentenceOf } from "./dom.js";
import type { DroppedImage, Images } from "./images.js";
import { classify, embed } from "./server.js";

/** A line of images that wait for their answer. */
export class Work {
  readonly #images: Images;
  readonly #modelOf: () => string;
  readonly #changed: (image: DroppedImage) => void;
  readonly #waiting: DroppedImage[] = [];
  #isBusy = false;

  /** @param changed is told of each image whose state has changed */
  constructor(images: Images, modelOf: () => string, changed: (image: DroppedImage) => void) {
    this.#images = images;
    this.#modelOf = modelOf;
    this.#changed = changed;
  }

  add(image: DroppedImage): void {
    image.state = "waiting";
    if (!this.#waiting.includes(image)) this.#waiting.push(image);
    void this.#go();
  }

  async #go(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    for (let image = this.#waiting.shift(); image !== undefined; image = this.#waiting.shift())
      // One that was forgotten needs no answer.
      if (this.#images.has(image)) await this.#ask(image);
    this.#isBusy = false;
  }

  async #ask(image: DroppedImage): Promise<void> {
    const model = this.#modelOf();
    image.state = "running";
    this.#changed(image);
    try {
      const { labels, times } = await classify(model, image.file);
      // After the labels, so that its run is no part of their times.
      const embedding = await embed(model, image.file);
      Object.assign(image, { model, labels, times, embedding, problem: "", state: "done" });
    } catch (error) {
      Object.assign(image, { model, problem: sentenceOf(error), state: "failed" });
    }
    this.#changed(image);
  }
}
