// A checkpoint's file: opened once and read by position. It must be a regular file of at most 16 GiB.
import { constants, type FileHandle, open } from "node:fs/promises";
import { describe, typeError } from "../check.js";
import { type ErrorCode, VggError } from "../errors.js";
import { wordsOf } from "../files/errors.js";

export const maxFileBytes = 16 * 2 ** 30;
// A read of 2 GiB or more makes Node end the process.
const maxReadBytes = 2 ** 30;

/** Bytes in memory that no other thread shares. TypeScript before 5.7 has no type argument that says so. */
export type Bytes = ReturnType<typeof Uint8Array.of>;

/** Makes an error about a checkpoint. Its message begins with the file's path. */
export function checkpointError(
  file: { readonly path: string },
  code: Extract<ErrorCode, `CHECKPOINT_${string}`>,
  message: string,
  cause?: unknown,
): VggError {
  return new VggError(
    code,
    `${file.path}: ${message}`,
    cause === undefined ? undefined : { cause },
  );
}

/** Runs one step of reading. @throws {VggError} CHECKPOINT_UNREADABLE if the system refuses it */
async function readable<T>(path: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? describe(cause);
    const isUrl = code === "ENOENT" && /^[a-z][a-z0-9+.-]+:\/\//i.test(path);
    const message = isUrl
      ? 'weights are read from a file, not from an address; "DEFAULT" takes torchvision\'s, and vgg pull downloads them'
      : path === "-" && code === "ENOENT"
        ? "weights are read from a file, not from standard input"
        : code === "ENOENT" && path.toUpperCase() === "DEFAULT"
          ? 'no such file; "DEFAULT", in capitals, takes torchvision\'s'
          : (wordsOf(code) ?? `cannot be read: ${code}`);
    throw checkpointError({ path }, "CHECKPOINT_UNREADABLE", message, cause);
  }
}

/** Closes the file and ignores errors: the bytes already read stay valid. */
async function closeRead(handle: FileHandle): Promise<void> {
  await handle.close().catch(() => {});
}

export class CheckpointFile {
  readonly path: string;
  readonly size: number;
  #handle: FileHandle;
  #modifiedMs: number;

  /**
   * Opens a file.
   * @throws {TypeError} not a path
   * @throws {VggError} CHECKPOINT_UNREADABLE: missing, not regular, above 16 GiB, a failing disk
   */
  static async open(path: string): Promise<CheckpointFile> {
    if (typeof path !== "string") throw typeError("a path", "path", path);
    if (path === "")
      throw checkpointError(
        { path: '""' },
        "CHECKPOINT_UNREADABLE",
        "Expected the path of a file but received an empty one",
      );
    const unreadable = (message: string) =>
      checkpointError({ path }, "CHECKPOINT_UNREADABLE", message);
    // Without O_NONBLOCK, opening a FIFO waits for its writer.
    const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
    const handle = await readable(path, () => open(path, flags));
    try {
      const stat = await readable(path, () => handle.stat());
      if (stat.isDirectory()) throw unreadable("it is a folder; give the file of weights in it");
      if (!stat.isFile()) throw unreadable("Expected a regular file");
      if (stat.size > maxFileBytes) {
        throw unreadable(`Expected at most ${maxFileBytes} bytes but received ${stat.size}`);
      }
      return new CheckpointFile(path, handle, stat.size, stat.mtimeMs);
    } catch (error) {
      await closeRead(handle);
      throw error;
    }
  }

  private constructor(path: string, handle: FileHandle, size: number, modifiedMs: number) {
    this.path = path;
    this.#handle = handle;
    this.size = size;
    this.#modifiedMs = modifiedMs;
  }

  /**
   * Reads the bytes [offset, offset + length).
   * @throws {VggError} CHECKPOINT_CORRUPT past the end, _UNREADABLE if the file shrank, OUT_OF_MEMORY
   */
  async read(offset: number, length: number): Promise<Bytes> {
    if (offset < 0 || length < 0 || offset + length > this.size) {
      throw this.corrupt(
        `Expected bytes ${offset} to ${offset + length} but the file has ${this.size}`,
      );
    }
    const bytes = this.allocate(length);
    await this.readInto(bytes, offset);
    return bytes;
  }

  /** Allocates zeroed bytes. @throws {VggError} OUT_OF_MEMORY */
  allocate(length: number): Bytes {
    try {
      return new Uint8Array(length);
    } catch (cause) {
      const message = `${this.path}: Expected memory for ${length} bytes but received none`;
      throw new VggError("OUT_OF_MEMORY", message, { cause });
    }
  }

  /** Fills an array from a range of the file that was already checked. @throws {VggError} CHECKPOINT_UNREADABLE */
  async readInto(bytes: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < bytes.byteLength; ) {
      const length = Math.min(bytes.byteLength - done, maxReadBytes);
      const { bytesRead } = await readable(this.path, () =>
        this.#handle.read(bytes, done, length, offset + done),
      );
      if (bytesRead === 0) throw this.changed();
      done += bytesRead;
    }
  }

  /** Checks the size and modification time. @throws {VggError} CHECKPOINT_UNREADABLE if they changed since the opening */
  async checkUnchanged(): Promise<void> {
    const { size, mtimeMs } = await readable(this.path, () => this.#handle.stat());
    if (size !== this.size || mtimeMs !== this.#modifiedMs) throw this.changed();
  }

  corrupt(message: string): VggError {
    return checkpointError(this, "CHECKPOINT_CORRUPT", message);
  }

  private changed(): VggError {
    return checkpointError(
      this,
      "CHECKPOINT_UNREADABLE",
      "Expected an unchanged file but it changed while it was read",
    );
  }

  async close(): Promise<void> {
    await closeRead(this.#handle);
  }
}
