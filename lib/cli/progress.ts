// How far a long command is: one line on stderr, and only on a terminal.
import ora from "ora";

export interface ProgressLine {
  advance(): void;
  stop(): void;
}

/** `noun` in the plural; `total` of them. */
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
  // A terminal that does not know its width makes ora write without end.
  const isTerminal = process.stderr.isTTY && process.stderr.columns > 0;
  const line = ora({
    text: text(),
    isEnabled: isTerminal,
    isSilent: !isTerminal,
    discardStdin: false, // keys are left alone: else Ctrl-C, Ctrl-Z and Ctrl-\ do nothing
  }).start();
  return {
    advance() {
      done++;
      line.text = text();
    },
    stop: () => void line.stop(),
  };
}
