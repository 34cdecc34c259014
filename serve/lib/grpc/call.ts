// What a call of gRPC carries besides its message: who makes it, and the bytes that it has sent.
import { createContextKey } from "@connectrpc/connect";
import type { ApiGroup } from "../access/tokens.js";
import { ServeError } from "../errors.js";

/** Decides whether a call may be made. `Access` is one. */
export interface Gate {
  /** Returns who calls. @throws {ServeError} RATE or UNAUTHENTICATED */
  admit(
    group: ApiGroup,
    authorization: string | null | undefined,
    address: string | undefined,
  ): string;
}

/** A call that was admitted. */
export interface Call {
  readonly client: string;
  /** Whether a message has come whole and could be read. */
  wasRead: boolean;
  /**
   * Takes the message that has just been read, and returns its bytes. Each further message of a stream is admitted anew.
   * @throws {ServeError} RATE or UNAUTHENTICATED
   */
  takeMessage(): number;
  /** Counts the bytes of an answer until they are released or the call ends. @throws {ServeError} UNAVAILABLE */
  hold(bytes: number): void;
  /** Gives bytes back: of a message that was answered, or of an answer that was sent. */
  release(bytes: number): void;
  /** Is told of errors that are defects of the server. */
  onDefect(error: unknown): void;
}

/** The call in connect's context. */
export const callKey = createContextKey<Call>({
  client: "unknown",
  wasRead: false,
  takeMessage: () => 0,
  hold: () => {},
  release: () => {},
  onDefect: () => {},
});

/** The bytes of all messages and answers that are under way. A bound on them bounds the memory. */
export class ByteBudget {
  readonly #limit: number;
  #used = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @throws {ServeError} UNAVAILABLE: the server holds too much already */
  reserve(bytes: number): void {
    if (this.#used + bytes > this.#limit)
      throw new ServeError(
        "UNAVAILABLE",
        `Exceeds maximum queue size: requests and answers of more than ${this.#limit} bytes are under way`,
      );
    this.#used += bytes;
  }

  release(bytes: number): void {
    this.#used -= bytes;
  }

  get used(): number {
    return this.#used;
  }
}

/** The bytes of one call, as its chunks arrive and its messages are answered. */
export class CallBytes {
  readonly #budget: ByteBudget;
  #held = 0;
  #untaken = 0;

  constructor(budget: ByteBudget) {
    this.#budget = budget;
  }

  /** @throws {ServeError} UNAVAILABLE */
  arrived(bytes: number): void {
    this.hold(bytes);
    this.#untaken += bytes;
  }

  /** @throws {ServeError} UNAVAILABLE */
  hold(bytes: number): void {
    this.#budget.reserve(bytes);
    this.#held += bytes;
  }

  take(): number {
    const bytes = this.#untaken;
    this.#untaken = 0;
    return bytes;
  }

  release(bytes: number): void {
    const released = Math.min(bytes, this.#held);
    this.#held -= released;
    this.#budget.release(released);
  }

  /** Releases what is left, at the end of the call. */
  end(): void {
    this.release(this.#held);
  }
}
