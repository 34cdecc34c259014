// A bound on the memory of all bodies that were received and all answers that were not sent yet.
import { ServeError } from "../../errors.js";

/** Counts bytes over all requests. */
export class HeldBytes {
  readonly #limit: number;
  #held = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Opens the account of one body or one answer. */
  open(): Account {
    let own = 0;
    let isOpen = true;
    return {
      take: (bytes) => {
        if (!isOpen) return;
        if (this.#held + bytes > this.#limit)
          throw new ServeError(
            "UNAVAILABLE",
            `Expected at most ${this.#limit} bytes in all bodies and answers at once; try again when other requests have ended`,
          );
        this.#held += bytes;
        own += bytes;
      },
      close: () => {
        this.#held -= own;
        own = 0;
        isOpen = false;
      },
    };
  }
}

/** The bytes of one body or one answer. */
export interface Account {
  /** Adds bytes. Does nothing once the account is closed. @throws {ServeError} UNAVAILABLE: all requests hold too many */
  take(bytes: number): void;
  /** Gives all bytes back. */
  close(): void;
}
