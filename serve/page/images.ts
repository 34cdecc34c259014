// The images that the page keeps in its memory, and what is known of each.

/** How long the stages took, in ms. The rest is the network and the browser. */
export interface Times {
  readonly upload: number;
  readonly decode: number;
  readonly queue: number;
  readonly run: number;
  readonly total: number;
}

export interface Label {
  readonly index: number;
  readonly label: string;
  /** 0 … 1; null: not a number. */
  readonly probability: number | null;
}

/** An image that was dropped, pasted or picked. */
export interface DroppedImage {
  readonly number: number;
  readonly name: string;
  readonly file: Blob;
  /** An object URL, which is revoked when the image is forgotten. */
  readonly url: string;
  state: "waiting" | "running" | "done" | "failed";
  /** Why it failed. */
  problem: string;
  /** The model that answered. */
  model: string;
  labels: readonly Label[];
  times: Times | undefined;
  /** Of L2 norm 1. */
  embedding: Float32Array | undefined;
}

/** Older images are forgotten. */
export const mostImages = 100;

/** The images, the newest first. */
export class Images {
  readonly #images: DroppedImage[] = [];
  #count = 0;
  #chosen: DroppedImage | undefined;

  get all(): readonly DroppedImage[] {
    return this.#images;
  }

  get chosen(): DroppedImage | undefined {
    return this.#chosen;
  }

  choose(image: DroppedImage): void {
    this.#chosen = image;
  }

  has(image: DroppedImage): boolean {
    return this.#images.includes(image);
  }

  /** Adds a file, and forgets the oldest image if there are too many. */
  add(file: File): DroppedImage {
    const image: DroppedImage = {
      number: ++this.#count,
      name: file.name || `image ${this.#count}`,
      file,
      url: URL.createObjectURL(file),
      ...{ state: "waiting", problem: "", model: "", labels: [] },
      ...{ times: undefined, embedding: undefined },
    };
    this.#images.unshift(image);
    while (this.#images.length > mostImages) {
      const old = this.#images.pop()!;
      URL.revokeObjectURL(old.url);
      if (this.#chosen === old) this.#chosen = this.#images[0];
    }
    return image;
  }
}
