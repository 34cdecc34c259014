// What is kept of the times of one mode.
import { percentile } from "../dist/statistics.js";

export function statistics(samples) {
  const [min, p50, p95, p99] = [0, 0.5, 0.95, 0.99].map((share) => percentile(samples, share));
  return { count: samples.length, p50, p95, p99, min };
}
