// Shows the progress of a download on stderr: in one line on a terminal, otherwise only that it waits.
import type { Progress } from "../download/download.js";
import { visible } from "../visible.js";
import { writeError } from "./text.js";

/** A line that appears with the first progress. */
export interface DownloadLine {
  readonly show: (progress: Progress) => void;
  readonly stop: () => void;
}

/** Formats the line of progress: `vgg16-397923af.pth ██████░░░░ 60 % 316.7 of 527.8 MiB`. */
export function progressText(
  file: string,
  { receivedBytes, totalBytes, isWaiting, isReading }: Progress,
): string {
  if (isWaiting) return `${file} waits for another process that downloads it`;
  if (isReading) return `${file} is read: ${Math.floor((receivedBytes / totalBytes!) * 100)} %`;
  const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
  if (totalBytes === undefined) return `${file} ${mib(receivedBytes)} MiB`;
  const ratio = totalBytes === 0 ? 1 : Math.min(1, receivedBytes / totalBytes);
  const cells = 24;
  const full = Math.floor(ratio * cells);
  const bar = "█".repeat(full) + "░".repeat(cells - full);
  return `${visible(file)} ${bar} ${Math.floor(ratio * 100)} % ${mib(receivedBytes)} of ${mib(totalBytes)} MiB`;
}

/** Progress without a terminal: prints one line if the download waits for another process. */
function waitingLine(file: string): DownloadLine {
  let isSaid = false;
  return {
    show(progress) {
      if (!progress.isWaiting || isSaid) return;
      isSaid = true;
      writeError(`vgg: ${progressText(file, progress)}\n`);
    },
    stop: () => {},
  };
}

/** Starts the line for the download of a file. It appears at once, because a server may be slow to answer. */
export async function downloadLine(file: string): Promise<DownloadLine> {
  // ora 9.4.1 never ends its first redraw on a terminal that reports no columns.
  if (!process.stderr.isTTY || !process.stderr.columns) return waitingLine(file);
  const { default: ora } = await import("ora");
  const line = ora({
    text: visible(file),
    isEnabled: true, // otherwise the variable CI stops it on a terminal too
    discardStdin: false, // otherwise Ctrl-C has no effect. The bytes already received are kept.
  }).start();
  return {
    show(progress) {
      line.text = progressText(file, progress);
    },
    stop: () => void line.stop(),
  };
}
