// A destination of log lines that never stops the server: bounded in memory and on disk, and patient with a full disk.
import { closeSync, existsSync, fstatSync, openSync, renameSync, write, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export interface LogFileSettings {
  /** A path, or a descriptor that is open, such as 1 for standard output. */
  readonly destination: string | number;
  /** A file that has this many bytes is renamed to FILE.1, and a new one is begun. */
  readonly maxBytes: number;
  /** Lines that wait to be written may have this many bytes together. Further lines are dropped. */
  readonly maxWaitingBytes: number;
  /** Is told once when lines begin to be dropped, and once when writing succeeds again. */
  readonly onProblem: (message: string) => void;
}

/** How long to wait after EAGAIN: a pipe on standard output is full. */
const retryMs = 50;

/** How long the end waits for lines that are being written. */
const closeMs = 2000;

/** Bytes of one write. */
const maxWriteBytes = 1 << 20;

/**
 * Writes lines in order. A line that cannot be written is dropped and counted: a full disk costs lines, not the service.
 * pino's own destination retries without end at exit if the disk is full, which is why this class exists.
 */
export class LogFile {
  readonly #settings: LogFileSettings;
  readonly #onExit = () => this.#flushSync();
  #descriptor: number;
  #fileBytes = 0;
  #lines: string[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | null = null;
  #dropped = 0;
  #isFailing = false;
  /** The last line in the file has no end, because a write stopped in it. */
  #isCut = false;
  #isClosed = false;

  /** @throws the system's error if the file cannot be opened */
  constructor(settings: LogFileSettings) {
    this.#settings = settings;
    const { destination } = settings;
    this.#descriptor = typeof destination === "number" ? destination : openSync(destination, "a");
    if (typeof destination === "string") this.#fileBytes = fstatSync(this.#descriptor).size;
    process.on("exit", this.#onExit);
  }

  /** Lines that were not written. */
  get droppedLines(): number {
    return this.#dropped;
  }

  /** Takes one line with its line break. Returns at once. */
  write(line: string): void {
    const bytes = Buffer.byteLength(line);
    if (this.#isClosed || this.#waitingBytes + bytes > this.#settings.maxWaitingBytes) {
      this.#drop(1, "more lines wait than its limit allows");
      return;
    }
    this.#lines.push(line);
    this.#waitingBytes += bytes;
    if (this.#writing === null) this.#start();
  }

  /** Writes what waits, and closes the file. It does not wait for room on a full disk or pipe. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // A pipe that nobody reads may never take the lines.
    await Promise.race([this.#writing, sleep(closeMs, undefined, { ref: false })]);
    process.off("exit", this.#onExit);
    if (typeof this.#settings.destination === "string") closeSync(this.#descriptor);
  }

  #start(): void {
    this.#writing = this.#writeAll().then(() => {
      this.#writing = null;
      // A line may have come since the last look.
      if (this.#lines.length > 0) this.#start();
    });
  }

  async #writeAll(): Promise<void> {
    // The lines of one turn of the event loop go out together.
    await new Promise(setImmediate);
    while (this.#lines.length > 0) {
      const lines = this.#takeSome();
      const bytes = Buffer.from(`${this.#isCut ? "\n" : ""}${lines.join("")}`);
      try {
        await this.#writeWhole(bytes);
        this.#recovered();
      } catch (error) {
        this.#drop(lines.length, reasonOf(error));
      } finally {
        this.#waitingBytes -= lines.reduce((sum, line) => sum + Buffer.byteLength(line), 0);
      }
      this.#rotate();
    }
  }

  /** Takes the waiting lines that fit into one write and into the file, and at least one. */
  #takeSome(): string[] {
    const room = Math.min(maxWriteBytes, this.#settings.maxBytes - this.#fileBytes);
    let bytes = 0;
    let count = 0;
    do {
      bytes += Buffer.byteLength(this.#lines[count] ?? "");
      count += 1;
    } while (
      count < this.#lines.length &&
      bytes + Buffer.byteLength(this.#lines[count] ?? "") <= room
    );
    return this.#lines.splice(0, count);
  }

  async #writeWhole(bytes: Buffer): Promise<void> {
    for (let offset = 0; offset < bytes.length; ) {
      try {
        const written = await writeOnce(this.#descriptor, bytes, offset);
        offset += written;
        this.#fileBytes += written;
        this.#isCut = offset < bytes.length;
      } catch (error) {
        // A reader that is slow gets time while the server runs. At its end nobody waits for it.
        if (codeOf(error) !== "EAGAIN" || this.#isClosed) throw error;
        await sleep(retryMs, undefined, { ref: false });
      }
    }
  }

  #rotate(): void {
    const { destination, maxBytes } = this.#settings;
    if (typeof destination === "number" || this.#fileBytes < maxBytes) return;
    try {
      if (existsSync(destination)) renameSync(destination, `${destination}.1`);
      const next = openSync(destination, "a");
      closeSync(this.#descriptor);
      this.#descriptor = next;
    } catch (error) {
      this.#settings.onProblem(`The log file could not be replaced (${reasonOf(error)})`);
    }
    this.#fileBytes = 0;
  }

  #drop(lines: number, reason: string): void {
    this.#dropped += lines;
    if (this.#isFailing) return;
    this.#isFailing = true;
    this.#settings.onProblem(`Lines of the log are dropped: ${reason}`);
  }

  #recovered(): void {
    if (!this.#isFailing) return;
    this.#isFailing = false;
    this.#settings.onProblem(
      `The log is written again; ${this.#dropped} lines were dropped so far`,
    );
  }

  /** Tries once to write what still waits when the process ends. */
  #flushSync(): void {
    try {
      writeSync(this.#descriptor, this.#lines.join(""));
    } catch {
      // Nothing is left that could be told.
    }
    this.#lines = [];
  }
}

function writeOnce(descriptor: number, bytes: Buffer, offset: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(descriptor, bytes, offset, bytes.length - offset, null, (error, written) =>
      error === null ? resolve(written) : reject(error),
    );
  });
}

function codeOf(error: unknown): string | undefined {
  return (error as { code?: string } | null)?.code;
}

function reasonOf(error: unknown): string {
  return codeOf(error) ?? "unknown error";
}
