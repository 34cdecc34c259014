// Shows the progress of a long command in one line on stderr, only on a terminal.
import ora from "ora";

export interface ProgressLine {
  advance(): void;
  stop(): void;
}

/** Starts a line of progress. @param noun the unit, in the plural @param total the number of units */
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
  // ora writes without end on a terminal that does not know its width.
  const isTerminal = process.stderr.isTTY && process.stderr.columns > 0;
  const line = ora({
    text: text(),
    isEnabled: isTerminal,
    isSilent: !isTerminal,
    discardStdin: false, // otherwise Ctrl-C, Ctrl-Z and Ctrl-\ have no effect
  }).start();
  return {
    advance() {
      done++;
      line.text = text();
    },
    stop: () => void line.stop(),
  };
}
