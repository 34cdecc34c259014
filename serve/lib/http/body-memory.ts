// A bound on the memory of all bodies that the server holds at once.
import { ServeError } from "../errors.js";

/** Counts the bytes of bodies, over all requests. */
export class BodyMemory {
  readonly #limit: number;
  #held = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes that are held now. */
  get held(): number {
    return this.#held;
  }

  /** Returns the account of one request. */
  open(): BodyHold {
    let own = 0;
    return {
      take: (bytes) => {
        if (this.#held + bytes > this.#limit)
          throw new ServeError(
            "UNAVAILABLE",
            `Expected at most ${this.#limit} bytes in the bodies of all requests at once; try again when others have ended`,
          );
        this.#held += bytes;
        own += bytes;
      },
      release: () => {
        this.#held -= own;
        own = 0;
      },
    };
  }
}

/** The bytes that one request holds. */
export interface BodyHold {
  /** @throws {ServeError} UNAVAILABLE: all requests together hold too many */
  take(bytes: number): void;
  /** Gives everything back. */
  release(): void;
}
