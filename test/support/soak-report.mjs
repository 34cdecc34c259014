// The figures of a soak: growth of the resident set, delays of the event loop, and what is left open, with their bounds.

/** One line of a measurement. */
export function describe({ seconds, rssMB, fileDescriptors, threads }) {
  return `${seconds.toFixed(0)} s: ${rssMB.toFixed(0)} MB, ${fileDescriptors} file descriptors, ${threads} threads`;
}

/** Fits y over x by least squares. Returns the slope and its standard error. */
function leastSquares(points) {
  const n = points.length;
  const mean = (of) => points.reduce((sum, point) => sum + of(point), 0) / n;
  const x = mean(([x]) => x);
  const y = mean(([, y]) => y);
  const spread = mean((point) => (point[0] - x) ** 2);
  const slope = mean((point) => (point[0] - x) * (point[1] - y)) / spread;
  const rest = mean((point) => (point[1] - y - slope * (point[0] - x)) ** 2);
  return { slope, error: Math.sqrt(rest / spread / (n - 2)) };
}

/**
 * @param all the measurements of the rounds: seconds, rssMB, fileDescriptors, threads
 * @param delays of the event loop during the rounds
 * @param bounds the growth in MB an hour and in all, and the greatest values of other figures
 * @returns the figures after the warm-up, which is a quarter of the rounds. It adds to `failures` what exceeds its bound
 */
export function assess(all, delays, bounds, failures) {
  const warmup = Math.max(2, Math.floor(all.length / 4));
  const samples = all.slice(warmup);
  if (samples.length < 5) {
    failures.push(`Expected at least 7 rounds but there were ${all.length}: give it more minutes`);
    return { rounds: all.length };
  }
  const { slope, error } = leastSquares(
    samples.map(({ seconds, rssMB }) => [seconds / 3600, rssMB]),
  );
  const first = samples[0];
  const last = samples.at(-1);
  // An idle thread of a pool may be gone for a while, so the warm-up's maximum counts.
  const most = (key) => Math.max(...all.slice(0, warmup + 1).map((sample) => sample[key]));
  const figures = {
    rssMB: last.rssMB,
    growthMBPerHour: slope,
    growthErrorMBPerHour: error,
    ...delays,
    fileDescriptors: last.fileDescriptors - most("fileDescriptors"),
    threads: last.threads - most("threads"),
    ...(last.handles !== undefined && { handles: last.handles - most("handles") }),
  };
  const hours = (last.seconds - first.seconds) / 3600;
  const { growthMB, ...others } = bounds;
  const limits = { ...others, growthMBPerHour: Math.max(bounds.growthMBPerHour, growthMB / hours) };
  const compared = { ...figures, growthMBPerHour: slope - 2 * error };
  for (const [name, limit] of Object.entries(limits))
    if (compared[name] > limit)
      failures.push(`${name}: ${compared[name].toFixed(1)} is above ${limit.toFixed(1)}`);
  return { rounds: all.length, ...figures, last };
}

/** The report as lines of text. */
export function lines({ minutes, rounds, counts, memory, last, failures, ...figures }) {
  const numbers = Object.entries(figures).map(([name, value]) => `${name} ${value.toFixed(1)}`);
  return [
    `${minutes} minutes, ${rounds} rounds: ${Object.entries(counts)
      .map(([name, number]) => `${number} ${name}`)
      .join(", ")}`,
    ...(last === undefined ? [] : [describe(last)]),
    numbers.join(", "),
    ...(memory === undefined ? [] : [`on the device at the end: ${JSON.stringify(memory)}`]),
    ...failures.map((failure) => `FAILED: ${failure}`),
  ];
}
