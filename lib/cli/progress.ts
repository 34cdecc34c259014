// Shows the progress of a long command on stderr, only on a terminal.
import { fstatSync } from "node:fs";
import ora from "ora";

export interface ProgressLine {
  advance(): void;
  stop(): void;
}

/** The time between two lines if stdout is a pipe, in ms. */
const lineMs = 5000;

/** Whether stdout leads to another process, which may print on the same screen at any time. */
function isPiped(): boolean {
  try {
    const stats = fstatSync(1);
    return stats.isFIFO() || stats.isSocket();
  } catch {
    return false; // stdout is closed
  }
}

/** Prints a whole line now and then. The text of another process can follow it, but not run into it. */
function wholeLines(text: () => string) {
  let isDue = false;
  const timer = setInterval(() => {
    isDue = true;
  }, lineMs);
  timer.unref();
  return {
    show() {
      if (!isDue) return;
      isDue = false;
      process.stderr.write(`${text()}\n`);
    },
    stop: () => clearInterval(timer),
  };
}

/** Redraws one line. */
function spinner(text: () => string) {
  // ora writes without end on a terminal that does not know its width.
  const isTerminal = process.stderr.isTTY && process.stderr.columns > 0;
  const line = ora({
    text: text(),
    isEnabled: isTerminal,
    isSilent: !isTerminal,
    discardStdin: false, // otherwise Ctrl-C, Ctrl-Z and Ctrl-\ have no effect
  }).start();
  return {
    show() {
      line.text = text();
    },
    stop: () => void line.stop(),
  };
}

/** Starts the progress of a command. @param noun the unit, in the plural @param total the number of units */
export function progressLine(noun: string, total: number): ProgressLine {
  const start = performance.now();
  let done = 0;
  const text = () => {
    const seconds = (performance.now() - start) / 1000;
    const rate = done / seconds;
    const rest =
      done === 0 ? "" : `, ${rate.toFixed(1)} a second, ${Math.ceil((total - done) / rate)} s left`;
    return `${done} of ${total} ${noun}${rest}`;
  };
  const shown = process.stderr.isTTY && isPiped() ? wholeLines(text) : spinner(text);
  return {
    advance() {
      done++;
      shown.show();
    },
    stop: shown.stop,
  };
}
