// Which size a run gets: from known times, from few times, and when times change.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Rates } from "../../../lib/batch/rates.ts";

const upTo = (max: number) => Array.from({ length: max }, (_, index) => index + 1);
const powerOfTwo = (size: number) => 2 ** Math.ceil(Math.log2(size));

/** Rates of a device with these times. */
function ratesOf(times: Record<number, number>, pad?: (size: number) => number): Rates {
  const rates = new Rates(pad);
  for (const [size, ms] of Object.entries(times)) rates.learn(Number(size), ms);
  return rates;
}

const cpu = { 1: 26.6, 4: 80.6, 16: 309 };
const h200 = { 1: 0.133, 2: 0.176, 4: 0.224, 8: 0.315, 64: 1.646 };

describe("the size of the next run", () => {
  it("is the number of waiting images while nothing is known", () => {
    expect(new Rates().choose(upTo(7), 7)).toBe(7);
    // A larger size is assumed to be faster until it was tried.
    expect(ratesOf({ 1: 26.6 }).choose(upTo(7), 7)).toBeGreaterThan(4);
    expect(ratesOf({ 1: 26.6 }).choose(upTo(16), 40)).toBe(16);
  });

  it("is the smallest whose rate is near the best", () => {
    const rates = ratesOf(cpu);
    expect(rates.choose(upTo(1), 1)).toBe(1);
    expect(rates.choose(upTo(4), 4)).toBeGreaterThanOrEqual(3);
    expect(rates.choose(upTo(8), 8)).toBeLessThan(8);
  });

  it("is the fastest if more than twice the near size waits", () => {
    expect(ratesOf(cpu).choose(upTo(16), 40)).toBe(16);
  });

  it("pads on a GPU: of 5 images it runs 4, of 6 it runs 6 in the time of 8", () => {
    const rates = ratesOf(h200, powerOfTwo);
    expect(rates.choose(upTo(5), 5)).toBe(4);
    expect(rates.choose(upTo(6), 6)).toBe(6);
  });

  it("is one of the sizes that are possible", () => {
    const sizes = fc
      .uniqueArray(fc.integer({ min: 1, max: 64 }), { minLength: 1 })
      .map((list) => list.sort((a, b) => a - b));
    const times = fc.dictionary(
      fc.integer({ min: 1, max: 64 }).map(String),
      fc.double({ min: 1e-3, max: 1e4, noNaN: true }),
    );
    fc.assert(
      fc.property(sizes, times, fc.nat(200), (possible, known, more) => {
        const rates = ratesOf(known);
        const chosen = rates.choose(possible, possible.at(-1)! + more);
        expect(possible).toContain(chosen);
        const rate = (size: number) => size / (rates.timeOf(size) ?? 1);
        const best = Math.max(...possible.map(rate));
        expect(rate(chosen)).toBeGreaterThanOrEqual(0.95 * best);
      }),
    );
  });
});

describe("the time of a size", () => {
  it("is not known before a run", () => {
    expect(new Rates().timeOf(4)).toBeUndefined();
    expect(new Rates().best).toBeUndefined();
  });

  it("is not that of its first run, which also compiles", () => {
    const rates = new Rates();
    rates.record(4, 5000);
    expect(rates.timeOf(4)).toBeUndefined();
    rates.record(4, 80);
    expect(rates.timeOf(4)).toBe(80);
  });

  it("is a moving average", () => {
    const rates = ratesOf({ 4: 80 });
    rates.record(4, 90);
    expect(rates.timeOf(4)).toBeCloseTo(82);
  });

  it("lies on the line between two known sizes and beyond them", () => {
    const rates = ratesOf({ 2: 20, 4: 30 });
    expect(rates.timeOf(3)).toBe(25);
    expect(rates.timeOf(8)).toBe(50);
    expect(rates.timeOf(1)).toBeLessThan(20);
  });

  it("comes from warm-up until a run of its kind was timed", () => {
    const prior = ratesOf({ 1: 10, 2: 12 });
    const rates = new Rates(undefined, prior);
    expect(rates.timeOf(2)).toBe(12);
    expect(rates.best).toBeCloseTo(1 / 6);
    rates.learn(2, 30);
    expect(rates.timeOf(2)).toBe(30);
    // Other sizes keep their relation until they were timed too.
    expect(rates.timeOf(1)).toBe(25);
    expect([...rates.times]).toEqual([[2, 30]]);
  });

  it("is forgotten, so that a size that was slow once is tried again", () => {
    const rates = ratesOf({ 1: 10, 8: 400 });
    expect(rates.choose(upTo(8), 8)).toBe(1);
    for (let run = 0; run < 300; run++) rates.record(1, 10);
    expect(rates.choose(upTo(8), 8)).toBeGreaterThan(4);
  });

  it("is positive for any sequence of runs", () => {
    const run = fc.tuple(
      fc.integer({ min: 1, max: 256 }),
      fc.double({ min: 0, max: 1e5, noNaN: true }),
    );
    fc.assert(
      fc.property(
        fc.array(run, { minLength: 1 }),
        fc.integer({ min: 1, max: 300 }),
        (runs, size) => {
          const rates = new Rates(powerOfTwo);
          for (const [images, ms] of runs) rates.learn(images, ms);
          expect(rates.timeOf(size)).toBeGreaterThan(0);
        },
      ),
    );
  });
});

it("limits the size after a run without memory, and tries larger ones again later", () => {
  const rates = ratesOf(cpu);
  rates.refuse(16);
  expect(rates.limit).toBe(8);
  for (let run = 0; run < 256; run++) rates.record(1, 26.6);
  expect(rates.limit).toBe(Number.POSITIVE_INFINITY);
});
