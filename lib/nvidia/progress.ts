// Adds up the progress of transfers that go on at the same time.
import type { Progress } from "../download/download.js";

export class TotalProgress {
  readonly #bytes = new Map<string, number>();
  readonly #totals = new Map<string, number>();
  readonly #onProgress: (progress: Progress) => void;
  /** Bytes that came since the transfers began. */
  receivedBytes = 0;

  constructor(onProgress: (progress: Progress) => void) {
    this.#onProgress = onProgress;
  }

  /** Says how many bytes a transfer has in all. A transfer that gives way to another has 0. */
  expect(name: string, totalBytes: number): void {
    this.#totals.set(name, totalBytes);
    if (totalBytes === 0) this.#bytes.delete(name);
  }

  /** Says how many bytes a transfer has by now. Its first call says what an earlier one left. */
  at(name: string, bytes: number): void {
    const before = this.#bytes.get(name) ?? bytes;
    this.receivedBytes += Math.max(0, bytes - before);
    this.#bytes.set(name, bytes);
    this.show();
  }

  show(): void {
    const sum = (numbers: Iterable<number>) => [...numbers].reduce((a, b) => a + b, 0);
    const receivedBytes = sum(this.#bytes.values());
    const totalBytes = this.#totals.size === 0 ? undefined : sum(this.#totals.values());
    this.#onProgress({ receivedBytes, totalBytes });
  }
}
