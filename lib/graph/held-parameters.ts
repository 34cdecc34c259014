// A snapshot of a store's parameters at one point in the order of calls.
import { awaitNative, VggError } from "../errors.js";
import type { NativeHeldParameters } from "../native/addon.js";

/** Elements that the device's thread copies at a time; forwards can run between two pieces. */
const pieceElements = 4 * 2 ** 20;

/** A snapshot without a copy. A parameter is copied only if a later call writes it before it is read here. */
export class HeldParameters {
  /** Resolves when this is disposed. */
  readonly ended: Promise<void>;
  readonly #native: Promise<NativeHeldParameters>;
  #end!: (disposal: Promise<void>) => void;

  constructor(native: Promise<NativeHeldParameters>) {
    this.#native = native;
    native.catch(() => {}); // `read` reports the error
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Reads a parameter; call it once for each. @throws {VggError} MISSING_PARAMETER, OUT_OF_MEMORY */
  async read(index: number, count: number): Promise<Float32Array> {
    const held = await this.#native;
    const data = allocateFloats(count);
    for (let first = 0; ; first += pieceElements) {
      const length = Math.min(pieceElements, count - first);
      const isLast = first + length === count;
      const bytes = await awaitNative(() => held.read(index, first, length, isLast));
      data.set(new Float32Array(bytes), first);
      if (isLast) return data;
    }
  }

  /** Frees the snapshot. A second call does nothing more. */
  dispose(): Promise<void> {
    const disposed = this.#native.then((held) => held.dispose());
    this.#end(disposed.catch(() => {})); // there was nothing to hold, or the device is lost
    return this.ended;
  }
}

function allocateFloats(count: number): Float32Array {
  try {
    return new Float32Array(count);
  } catch (cause) {
    const message = `Expected ${4 * count} bytes of host memory for a parameter but they are not available`;
    throw new VggError("OUT_OF_MEMORY", message, { cause });
  }
}
