// The file of `vgg classify --resume`: one line of JSON for each image that is done. A run that was killed anywhere goes on.
import {
  closeSync,
  createReadStream,
  fsyncSync,
  ftruncateSync,
  openSync,
  writeSync,
} from "node:fs";
import { stat } from "node:fs/promises";
import { isPlainObject, rangeError } from "../../check.js";
import { VggError } from "../../errors.js";
import { fileError, ifMissing, withFile } from "../../files/errors.js";
import { type Lock, LockWatch, tryLock } from "../../files/lock.js";

/** What a full disk leaves: the part of a line that the next run removes. */
const kept = "its lines are kept, and the same command goes on when there is room";

/** Returns the image of a line. Undefined: the line is no result. */
function fileOf(line: string): string | undefined {
  try {
    const result: unknown = JSON.parse(line);
    if (!isPlainObject(result) || !("predictions" in result || "error" in result)) return undefined;
    return typeof result.file === "string" ? result.file : undefined;
  } catch {
    return undefined;
  }
}

/** What a file has: how often each image, and where its whole lines end. */
interface Content {
  readonly done: Map<string, number>;
  readonly bytes: number;
}

const newline = 10;
const maxLineBytes = 2 ** 24;

/** Reads the lines of a file. A part of a line at the end is what a killed run left. @throws {RangeError} other lines */
async function readContent(path: string): Promise<Content> {
  const done = new Map<string, number>();
  let bytes = 0;
  let count = 0;
  let tail = Buffer.alloc(0);
  const take = (line: string) => {
    const file = fileOf(line);
    count++;
    if (file === undefined)
      throw rangeError(`results of vgg classify in ${path}`, "--resume", `line ${count}: ${line}`);
    done.set(file, (done.get(file) ?? 0) + 1);
  };
  for await (const chunk of createReadStream(path)) {
    const text = Buffer.concat([tail, chunk as Buffer]);
    let from = 0;
    for (let end = text.indexOf(newline); end >= 0; end = text.indexOf(newline, from)) {
      take(text.toString("utf8", from, end));
      from = end + 1;
    }
    bytes += from;
    tail = text.subarray(from);
    if (tail.byteLength > maxLineBytes) take(tail.toString("utf8", 0, 100));
  }
  return { done, bytes };
}

/** A file of results that this process writes. */
export class ResultsFile {
  readonly #path: string;
  readonly #file: number;
  readonly #lock: Lock;
  readonly #done: Map<string, number>;

  private constructor(path: string, file: number, lock: Lock, done: Map<string, number>) {
    this.#path = path;
    this.#file = file;
    this.#lock = lock;
    this.#done = done;
  }

  /**
   * Opens a file, or makes it, and removes the part of a line that a killed run left.
   * @throws {RangeError} the file has other lines @throws {VggError} FOLDER_UNUSABLE: also if another process writes it
   */
  static async open(path: string): Promise<ResultsFile> {
    const lock = await withFile(path, () => tryLock(`${path}.lock`, new LockWatch()));
    if (lock === undefined)
      throw new VggError("FOLDER_UNUSABLE", `Cannot use ${path}: another process writes to it`);
    let file: number | undefined;
    try {
      const stats = await withFile(path, () => stat(path).catch(ifMissing));
      if (stats !== undefined && !stats.isFile())
        throw rangeError("a regular file, or none,", "--resume", path);
      const content = stats === undefined ? { done: new Map(), bytes: 0 } : await readContent(path);
      file = await withFile(path, async () => openSync(path, "a"));
      ftruncateSync(file, content.bytes);
      return new ResultsFile(path, file, lock, content.done);
    } catch (error) {
      if (file !== undefined) closeSync(file);
      await lock.release();
      throw error;
    }
  }

  /** Whether a line has this image. Each line counts once, so that a list may name an image more than once. */
  takeDone(image: string): boolean {
    const count = this.#done.get(image) ?? 0;
    if (count === 0) return false;
    if (count === 1) this.#done.delete(image);
    else this.#done.set(image, count - 1);
    return true;
  }

  /** Appends a line. @throws {VggError} DISK_FULL, FOLDER_UNUSABLE */
  append(line: string): void {
    const bytes = Buffer.from(line);
    try {
      for (let done = 0; done < bytes.byteLength; )
        done += writeSync(this.#file, bytes, done, bytes.byteLength - done);
    } catch (error) {
      throw fileError(error, this.#path, kept);
    }
  }

  /** Brings the lines to the disk and closes the file. @throws {VggError} DISK_FULL, FOLDER_UNUSABLE */
  async close(): Promise<void> {
    try {
      fsyncSync(this.#file);
    } catch (error) {
      throw fileError(error, this.#path, kept);
    } finally {
      closeSync(this.#file);
      await this.#lock.release();
    }
  }
}
