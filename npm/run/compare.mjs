// Compares what the platforms computed with what this machine's own platform computed, and prints the table.

/** The largest difference of logits between two instruction sets, relative to the largest logit. */
export const tolerance = 1e-5;

/** What each run must have found, whatever the machine computes. */
const expectedWorkers = [0, 0];
const expectedErrors = ["CHECKPOINT_UNREADABLE", "MISSING_PARAMETER"];

const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const shown = (value) => JSON.stringify(value) ?? "nothing";

/** @returns a cell, and a problem unless the two values are equal */
function equal(name, expected, received) {
  if (isSame(expected, received)) return { cell: "same" };
  return {
    cell: "DIFFERS",
    problem: `${name}: Expected ${shown(expected)} but received ${shown(received)}`,
  };
}

const areFinite = (values) => Array.isArray(values) && values.every(Number.isFinite);

/** @returns the largest difference, relative to the largest expected number; NaN if a list has another length or no numbers */
export function relativeDifference(expected, received) {
  // JSON has null for a number that is not finite.
  if (!areFinite(expected) || !areFinite(received) || expected.length !== received.length)
    return Number.NaN;
  const largest = Math.max(...expected.map(Math.abs));
  const difference = Math.max(...expected.map((value, i) => Math.abs(value - received[i])));
  return difference === 0 ? 0 : difference / largest;
}

/** Logits: the same bits with the same instruction set, else nearly equal. */
function nearly(name, expected, received, isSameSet) {
  const difference = relativeDifference(expected, received);
  if (difference === 0) return { cell: "same" };
  const limit = isSameSet ? 0 : tolerance;
  const cell = difference.toExponential(1);
  if (difference <= limit) return { cell };
  return {
    cell: `${cell} !`,
    problem: `${name}: Expected a difference of at most ${limit} but it is ${cell}`,
  };
}

/** The checks of `vgg classify`: the same classes in the same order, with nearly the same probabilities. */
function classified(expected, received, isSameSet) {
  const classes = (result) => result?.map(({ index }) => index);
  const order = equal("classify", classes(expected), classes(received));
  if (order.problem) return order;
  const probabilities = (result) => result.map(({ probability }) => probability);
  return nearly("classify", probabilities(expected), probabilities(received), isSameSet);
}

/**
 * Compares one platform's findings with the reference's.
 * @param expected,received `smoke`, `check`, `classify` and `doctor`: what each command printed
 * @returns `cells` by column, and `problems`, sentences without the platform's name
 */
export function compare(expected, received) {
  const { smoke } = received;
  const isSameSet = expected.smoke.instructionSet === smoke.instructionSet;
  const checks = {
    randn: equal("randn", expected.smoke.randn, smoke.randn),
    image: equal("image", expected.smoke.image, smoke.image),
    float32: nearly("float32", expected.smoke.float32, smoke.float32, isSameSet),
    float16: nearly("float16", expected.smoke.float16, smoke.float16, isSameSet),
    worker: equal("worker exits", expectedWorkers, smoke.workers),
    errors: equal("errors", expectedErrors, smoke.errors),
    check: equal("check", expected.check.outputShape, received.check.outputShape),
    classify: classified(expected.classify, received.classify, isSameSet),
    doctor: equal("doctor", received.file, received.doctor),
  };
  const entries = Object.entries(checks);
  return {
    cells: Object.fromEntries(entries.map(([name, { cell }]) => [name, cell])),
    problems: entries.flatMap(([, { problem }]) => problem ?? []),
  };
}

/** @returns a table for a terminal, with aligned columns. Rows are objects whose values are strings. */
export function table(rows) {
  const names = [...new Set(rows.flatMap(Object.keys))];
  const lines = [names, ...rows.map((row) => names.map((name) => row[name] ?? "-"))];
  const widths = names.map((_, i) => Math.max(...lines.map((cells) => cells[i].length)));
  return lines
    .map((cells) => cells.map((cell, i) => cell.padEnd(widths[i])).join("  "))
    .map((line) => line.trimEnd())
    .join("\n");
}
