// A run over the images of a command line: its progress, its failures, and the line that ends it.
import { commandLineMessage } from "../errors.js";
import { visible } from "../visible.js";
import type { Found, LeftOut } from "./images/walk.js";
import { progressLine } from "./progress.js";
import { width, writeError } from "./text.js";

const formatted = (count: number) => count.toLocaleString("en-US");

/** Counts entries by kind, the most frequent first: "3 .heic, 2 .svg". @param shown the kinds that are named */
export function countKinds(leftOut: readonly LeftOut[], shown = 6): string {
  const counts = new Map<string, number>();
  for (const { kind } of leftOut) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const sorted = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  const named = sorted.slice(0, shown).map(([kind, count]) => `${formatted(count)} ${kind}`);
  const rest = sorted.slice(shown).reduce((sum, [, count]) => sum + count, 0);
  return [...named, ...(rest > 0 ? [`${formatted(rest)} other`] : [])].join(", ");
}

export interface RunCounts {
  readonly images: number;
  readonly failed: number;
  readonly leftOut: readonly LeftOut[];
  readonly seconds: number;
}

/**
 * Formats the line that ends a run: "2,000 images, 7 failed, 5 skipped (3 .heic, 2 .svg), 92 s". It names as many kinds
 * as fit into a terminal.
 */
export function runLine({ images, failed, leftOut, seconds }: RunCounts): string {
  const skipped = formatted(leftOut.length);
  const lineOf = (kinds: number) =>
    [
      `${formatted(images)} ${images === 1 ? "image" : "images"}`,
      ...(failed > 0 ? [`${formatted(failed)} failed`] : []),
      ...(leftOut.length > 0 ? [`${skipped} skipped (${countKinds(leftOut, kinds)})`] : []),
      `${seconds < 10 ? seconds.toFixed(1) : formatted(Math.round(seconds))} s`,
    ].join(", ");
  let kinds = 6;
  while (kinds > 1 && lineOf(kinds).length > width) kinds--;
  return lineOf(kinds);
}

/** The options of a run over images. */
export interface RunOptions {
  quiet?: boolean;
  verbose?: boolean;
}

/** Returns an error's message for the command line, where the only stream is standard input. */
export const messageOf = (error: unknown) =>
  (error instanceof Error ? commandLineMessage(error) : String(error)).replace(
    /^a stream: /,
    "standard input: ",
  );

/** A run over images. */
export interface Run {
  /** The images that failed. */
  readonly failed: number;
  /** Counts an image that is done. */
  advance(): void;
  /** Counts an image that failed, and prints why on stderr. */
  fail(error: unknown): void;
  /** Prints the line that ends the run, unless it was of one image. If an image failed, the exit code becomes 1. */
  end(): void;
  /** Ends the progress only, if the run did not come to its end. */
  stop(): void;
}

/** Prints each skipped file and why it is skipped. */
export function saySkipped(leftOut: readonly LeftOut[]): void {
  for (const { path, why } of leftOut) writeError(`vgg: skips ${visible(path)}: ${why}\n`);
}

/** Starts a run. `quiet` prints only the failures, `verbose` also what was skipped and why. */
export function startRun({ files, leftOut }: Found, { quiet, verbose }: RunOptions): Run {
  if (verbose === true) saySkipped(leftOut);
  const start = performance.now();
  const progress = quiet === true ? undefined : progressLine("images", files.length);
  let failed = 0;
  const stop = () => progress?.stop();
  return {
    get failed() {
      return failed;
    },
    advance: () => progress?.advance(),
    fail(error) {
      failed++;
      progress?.advance();
      writeError(`vgg: ${messageOf(error)}\n`);
    },
    end() {
      stop();
      if (failed > 0) process.exitCode = 1;
      if (quiet === true || files.length + leftOut.length === 1) return;
      const seconds = (performance.now() - start) / 1000;
      writeError(`${runLine({ images: files.length, failed, leftOut, seconds })}\n`);
    },
    stop,
  };
}
