// Simulates a device with measured times under Poisson arrivals: the rule of Rates against one image at a time, all that
// waits, and a fixed delay. docs/decisions/0025 has the table.
import { describe, expect, it } from "vitest";
import { Rates } from "../../../lib/batch/rates.ts";

interface DeviceModel {
  /** Time in ms by size. */
  readonly times: Readonly<Record<number, number>>;
  readonly pad: (size: number) => number;
  readonly max: number;
  /** The runs that may be under way. They are computed one after the other. */
  readonly inFlight: number;
}

/** VGG11 in float32 on two cores with AVX-512. */
const cpu: DeviceModel = {
  times: { 1: 26.6, 4: 80.6, 16: 309 },
  pad: (size) => size,
  max: 16,
  inFlight: 1,
};
/** VGG11 in float16 on an H200. */
const h200: DeviceModel = {
  times: { 1: 0.133, 2: 0.176, 4: 0.224, 8: 0.315, 64: 1.646, 256: 6.4 },
  pad: (size) => 2 ** Math.ceil(Math.log2(size)),
  max: 256,
  inFlight: 1,
};

/** What to run of `waiting` images. The first came `age` ms ago. 0: wait. */
type Policy = (waiting: number, age: number, rates: Rates, max: number) => number;
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);
const oneByOne: Policy = () => 1;
const allThatWaits: Policy = (waiting, _, __, max) => Math.min(waiting, max);
const rule: Policy = (waiting, _, rates, max) =>
  rates.choose(upTo(Math.min(waiting, max)), waiting);
const delay =
  (ms: number): Policy =>
  (waiting, age, _, max) =>
    waiting >= max || age >= ms ? Math.min(waiting, max) : 0;

/** Uniform numbers in (0, 1). */
function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
}

/** Returns the mean and the 99th percentile of the images' latencies in ms. */
function simulate(device: DeviceModel, perSecond: number, policy: Policy, count = 30_000) {
  const { times, pad, max, inFlight } = device;
  const rates = new Rates(pad);
  for (const [size, ms] of Object.entries(times)) rates.learn(Number(size), ms);
  const random = uniform(1);
  let time = 0;
  const arrivals = Array.from({ length: count }, () => {
    time -= (1000 / perSecond) * Math.log(random());
    return time;
  });
  const latencies: number[] = [];
  const ends: number[] = []; // of all runs, ascending
  let next = 0;
  let now = 0;
  let known = 0; // arrivals up to now
  const look = (at: number) => {
    now = at;
    while (known < count && arrivals[known]! <= now) known++;
  };
  while (next < count) {
    look(Math.max(now, arrivals[next]!, ends.at(-inFlight) ?? 0));
    const size = policy(known - next, now - arrivals[next]!, rates, max);
    if (size === 0) {
      // Looks again at the next arrival, or a little later.
      look(Math.min(arrivals[known] ?? Number.POSITIVE_INFINITY, now + 0.1));
      continue;
    }
    const end = Math.max(now, ends.at(-1) ?? 0) + rates.timeOf(size)!;
    ends.push(end);
    for (const arrival of arrivals.slice(next, next + size)) latencies.push(end - arrival);
    next += size;
  }
  latencies.sort((a, b) => a - b);
  const mean = latencies.reduce((sum, ms) => sum + ms, 0) / count;
  return { mean, p99: latencies[Math.floor(0.99 * count)]!, images: count / ends.length };
}

/** Whether two times are the same within a share of the second. */
const isNear = (actual: number, expected: number, share = 0.1) =>
  Math.abs(actual - expected) <= share * expected;

/** Mean and 99th percentile in ms, by images per second: all that waits, and the rule. */
const table = [
  [cpu, 25, [47, 135], [47, 129]],
  [cpu, 42, [111, 390], [112, 400]],
  [cpu, 49, [294, 871], [305, 886]],
  [h200, 10_000, [0.28, 0.54], [0.27, 0.51]],
  [h200, 20_000, [0.61, 1.46], [0.45, 0.8]],
  [h200, 30_000, [4.6, 6.36], [0.88, 1.71]],
  [h200, 39_000, [9.75, 13.2], [4.51, 6.85]],
] as const;

describe.each(table)("device and load %#", (device, load, all, byRule) => {
  const of = (policy: Policy) => simulate(device, load, policy);

  it(`has the latencies of docs/decisions/ at ${load} images/s`, () => {
    for (const [policy, [mean, p99]] of [
      [allThatWaits, all],
      [rule, byRule],
    ] as const) {
      const actual = of(policy);
      expect(isNear(actual.mean, mean), `mean ${actual.mean} for ${mean}`).toBe(true);
      expect(isNear(actual.p99, p99), `p99 ${actual.p99} for ${p99}`).toBe(true);
    }
  });

  it(`is not faster with a fixed delay at ${load} images/s`, () => {
    const { mean } = of(rule);
    const [short, long] = device === cpu ? [5, 50] : [1, 5];
    for (const ms of [short, long]) expect(of(delay(ms)).mean).toBeGreaterThan(0.95 * mean);
    expect(of(delay(long)).mean).toBeGreaterThan(mean);
  });
});

it("serves loads that one image at a time cannot", () => {
  expect(simulate(cpu, 42, oneByOne).mean).toBeGreaterThan(10_000);
  expect(simulate(h200, 10_000, oneByOne).mean).toBeGreaterThan(100);
});

it("is the best choice on a GPU also while a second run is submitted ahead", () => {
  const ahead = { ...h200, inFlight: 2 };
  for (const load of [10_000, 20_000, 30_000, 39_000]) {
    const { mean } = simulate(ahead, load, rule);
    expect(mean).toBeLessThan(1.02 * simulate(ahead, load, allThatWaits).mean);
  }
});
