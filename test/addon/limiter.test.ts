// The process's limits on images in progress: who gets a place, who waits, and whose wait ends.
import { pbkdf2 } from "node:crypto";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import sharp from "sharp";
import { afterEach, describe, expect, it } from "vitest";
import { openImage } from "../../lib/image/decode.ts";
import { type Claim, decodedBytes, decoders, Limiter, openFiles } from "../../lib/image/limiter.ts";
import { preprocess } from "../../lib/index.ts";
import { native } from "../../lib/native/load.ts";

import { cropOf, drawing, expectCode, failure, folder, photo, plain } from "../support/images.ts";

const claim = (change: Partial<Claim> = {}): Claim => ({
  call: {},
  signal: new AbortController().signal,
  patienceMs: 60_000,
  stalled: () => new Error("stalled"),
  ...change,
});

let limiters = 0;
const limiterOf = (capacity: number) => new Limiter(`test ${++limiters}`, capacity);

describe("a limiter", () => {
  it("lets calls take turns, and keeps the order of each call's waits", async () => {
    const limiter = limiterOf(1);
    const order: string[] = [];
    const hold = await limiter.acquire(1, claim());
    const calls = { a: {}, b: {} };
    const waits = (["a", "a", "a", "b", "b"] as const).map(async (call, index) => {
      const release = await limiter.acquire(1, claim({ call: calls[call] }));
      order.push(`${call}${index}`);
      release();
    });
    hold();
    await Promise.all(waits);
    expect(order).toEqual(["a0", "b3", "a1", "b4", "a2"]);
    expect(limiter.free).toBe(1);
  });

  it("gives everything to a claim above its capacity, and lets nobody overtake it", async () => {
    const limiter = limiterOf(10);
    const [small, other] = [await limiter.acquire(4, claim()), await limiter.acquire(4, claim())];
    const order: string[] = [];
    const large = limiter.acquire(1000, claim()).then((release) => {
      order.push("large");
      expect(limiter.free).toBe(0);
      release();
    });
    const late = limiter.acquire(1, claim()).then((release) => {
      order.push("late");
      release();
    });
    small();
    small();
    await new Promise(setImmediate);
    expect([order, limiter.free]).toEqual([[], 6]);
    other();
    await Promise.all([large, late]);
    expect(order).toEqual(["large", "late"]);
    expect(limiter.free).toBe(10);
  });

  it("ends a wait when its signal fires, and lets the waits behind it move up", async () => {
    const limiter = limiterOf(10);
    const hold = await limiter.acquire(5, claim());
    const controller = new AbortController();
    const reason = new Error("enough");
    const large = failure(limiter.acquire(9, claim({ signal: controller.signal })));
    const small = limiter.acquire(2, claim());
    controller.abort(reason);
    expect(await large).toBe(reason);
    (await small)();
    hold();
    expect(limiter.free).toBe(10);
    const { signal } = controller;
    expect(await failure(limiter.acquire(1, claim({ signal })))).toBe(reason);
  });

  it("ends a wait if nobody was given a place for that long, and not before", async () => {
    const limiter = limiterOf(1);
    const hold = await limiter.acquire(1, claim());
    const stalled = failure(limiter.acquire(1, claim({ patienceMs: 20 })));
    expect((await stalled).message).toBe("stalled");
    hold();
    // A wait goes on while others are given places.
    const call = {};
    const patience = claim({ call, patienceMs: 300 });
    const waits = Array.from({ length: 10 }, async () => {
      const release = await limiter.acquire(1, patience);
      await new Promise((resolve) => setTimeout(resolve, 50));
      release();
    });
    await Promise.all(waits);
    expect(limiter.free).toBe(1);
  });
});

describe("a limiter that several threads share", () => {
  const child = new URL("../children/limiter.mjs", import.meta.url);
  const threads: Worker[] = [];
  const start = () => {
    const thread = new Worker(child);
    threads.push(thread);
    return thread;
  };
  afterEach(() => Promise.all(threads.map((thread) => thread.terminate())));
  const ask = (thread: Worker, message: object) => {
    thread.postMessage(message);
    return once(thread, "message");
  };

  it("serves waits in order of arrival, in whichever thread", async () => {
    const limiter = limiterOf(3);
    const { name } = limiter;
    const hold = await limiter.acquire(2, claim());
    const [first, second] = [start(), start()];
    const order: string[] = [];
    const large = ask(first, { work: "acquire", name, amount: 3 }).then(() => order.push("large"));
    // The large claim is waiting once a single free place is no longer given.
    const probe = new (native().Places)(name, 1);
    let isStarted = false;
    const failed = large.finally(() => {
      isStarted = true;
    });
    while (probe.take(1)) {
      probe.give(1);
      if (isStarted) await failed;
      await new Promise(setImmediate);
    }
    const own = limiter.acquire(1, claim()).then((release) => {
      order.push("own");
      return release;
    });
    await ask(second, { work: "images", count: 1 }); // it has started
    const small = ask(second, { work: "acquire", name, amount: 1 }).then(() => order.push("small"));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([order, limiter.free]).toEqual([[], 1]);
    hold();
    await large;
    expect([order, limiter.free]).toEqual([["large"], 0]);
    await ask(first, { work: "release", name });
    (await own)();
    await small;
    await ask(second, { work: "release", name });
    expect(order.slice(1).sort()).toEqual(["own", "small"]);
    expect(limiter.free).toBe(3);
  });

  it("passes a place that was on its way to an ended wait on to the next one", async () => {
    for (const next of [1, 3]) {
      const limiter = limiterOf(3);
      const hold = await limiter.acquire(3, claim());
      const controller = new AbortController();
      const gone = failure(limiter.acquire(2, claim({ signal: controller.signal })));
      const other = limiter.acquire(next, claim());
      hold();
      const reason = new Error("enough");
      controller.abort(reason);
      expect(await gone).toBe(reason);
      const release = await other;
      expect(limiter.free).toBe(3 - next);
      release();
      expect(limiter.free).toBe(3);
    }
  });

  it("does not wait forever for a blocked thread", async () => {
    const thread = start();
    const { name } = openFiles;
    await ask(thread, { work: "acquire", name, amount: openFiles.capacity });
    thread.postMessage({ work: "block" });
    const path = join(folder, "landscape.png");
    const late = preprocess(path, { timeoutMs: 20, decodeTimeoutMs: 30 });
    await expectCode(
      late,
      "IMAGE_TIMEOUT",
      /Expected a place among the open files .* within 50 ms/,
    );
    await thread.terminate();
    expect((await preprocess(path)).size).toBe(150_528);
  });

  it("gets back what a terminated thread held, and goes on", async () => {
    const limiter = limiterOf(2);
    const { name, free } = limiter;
    expect(free).toBe(2);
    const thread = start();
    await ask(thread, { work: "acquire", name, amount: 2 });
    const waiting = limiter.acquire(1, claim());
    expect(limiter.free).toBe(0);
    await thread.terminate();
    (await waiting)();
    expect(limiter.free).toBe(2);
  });

  it("leaves one thread of libuv's pool free, however many threads decode", async () => {
    const pool = Number(process.env.UV_THREADPOOL_SIZE) || 4;
    let isDone = false;
    const images = Promise.all(
      [start(), start(), start()].map((thread) => ask(thread, { work: "images", count: 20 })),
    ).finally(() => {
      isDone = true;
    });
    let peak = 0;
    while (!isDone) {
      peak = Math.max(peak, sharp.counters().process);
      await new Promise(setImmediate);
    }
    await images;
    expect(peak).toBeGreaterThan(0);
    expect(peak).toBeLessThan(pool);
    expect([decoders.free, decodedBytes.free]).toEqual([decoders.capacity, decodedBytes.capacity]);
  });
});

describe("images in progress in the process", () => {
  const path = join(folder, "landscape.png");
  /** The maximum of `measure` while the work goes on. */
  async function peakOf(measure: () => number, work: Promise<unknown>): Promise<number> {
    let peak = 0;
    let isDone = false;
    const end = work.finally(() => {
      isDone = true;
    });
    while (!isDone) {
      peak = Math.max(peak, measure());
      await new Promise(setImmediate);
    }
    await end;
    return peak;
  }

  it.skipIf(process.platform !== "linux")("open few files, however many calls wait", async () => {
    const files = () => readdirSync("/proc/self/fd").length;
    const before = files();
    const calls = Promise.all(Array.from({ length: 100 }, () => cropOf(path)));
    expect((await peakOf(files, calls)) - before).toBeLessThan(20);
    expect(openFiles.free).toBe(openFiles.capacity);
  });

  it("leave one thread of libuv's pool free", async () => {
    const pool = Number(process.env.UV_THREADPOOL_SIZE) || 4;
    const busy = () => sharp.counters().process;
    const calls = Promise.all(Array.from({ length: 30 }, () => cropOf(drawing)));
    const peak = await peakOf(busy, calls);
    expect(peak).toBeGreaterThan(0);
    expect(peak).toBeLessThan(pool);
  });

  it("take memory by their pixels, so that one of 48 megapixels is decoded alone", async () => {
    const large = Buffer.from(photo);
    const frame = large.indexOf(Buffer.of(0xff, 0xc0));
    large.writeUInt16BE(6000, frame + 5);
    large.writeUInt16BE(8000, frame + 7);
    const { peakBytes } = await openImage(large, "test", 1e8);
    expect(peakBytes).toBeGreaterThanOrEqual(3 * 48e6);
    expect(2 * peakBytes).toBeGreaterThan(decodedBytes.capacity);
  });

  it("take no memory for a copy if they are turned upright", async () => {
    const reckon = async (orientation: number) => {
      const jpeg = await plain(640, 480).withMetadata({ orientation }).jpeg().toBuffer();
      return (await openImage(jpeg, "test", 1e8)).peakBytes;
    };
    expect(await reckon(6)).toBe(await reckon(1));
  });

  it("keep their place until the decoder ends, even after their timeout", async () => {
    const webp = await plain(2500, 2000).webp().toBuffer();
    const late = preprocess(webp, { decodeTimeoutMs: 1 });
    await expectCode(late, "IMAGE_TIMEOUT", "Expected the image to be decoded within 1 ms");
    expect(decoders.free).toBe(decoders.capacity - 1);
    while (decoders.free < decoders.capacity) await new Promise(setImmediate);
    expect(sharp.counters()).toEqual({ queue: 0, process: 0 });
    expect(decodedBytes.free).toBe(decodedBytes.capacity);
    expect((await preprocess(webp)).size).toBe(150_528);
  });

  it("wait for memory while others are given it, and otherwise for decodeTimeoutMs at most", async () => {
    const all = decodedBytes.capacity;
    const hold = await decodedBytes.acquire(all, claim());
    const message = "Expected memory for its pixels to be free within 300 ms";
    await expectCode(preprocess(drawing, { decodeTimeoutMs: 300 }), "IMAGE_TIMEOUT", message);
    const others = Array.from({ length: 5 }, async () => {
      const release = await decodedBytes.acquire(all, claim());
      await new Promise((resolve) => setTimeout(resolve, 100));
      release();
    });
    const waiting = preprocess(drawing, { decodeTimeoutMs: 300 });
    hold();
    expect((await waiting).size).toBe(150_528);
    await Promise.all(others);
    expect([decoders.free, decodedBytes.free]).toEqual([decoders.capacity, all]);
  });

  it("accept the longest times that the options allow", async () => {
    const longest = 2 ** 31 - 1;
    for (const source of [path, drawing]) {
      const { size } = await preprocess(source, { timeoutMs: longest, decodeTimeoutMs: longest });
      expect(size).toBe(150_528);
    }
  });

  it("time out while the pool's threads, which read their headers, are busy", async () => {
    const pool = Number(process.env.UV_THREADPOOL_SIZE) || 4;
    const derive = promisify(pbkdf2);
    const busy = Array.from({ length: pool }, () => derive("a", "b", 300_000, 64, "sha512"));
    let isBusy = true;
    const first = Promise.race(busy).then(() => {
      isBusy = false;
    });
    const late = preprocess(drawing, { decodeTimeoutMs: 30 });
    await expectCode(late, "IMAGE_TIMEOUT", "Expected the image to be decoded within 30 ms");
    expect(isBusy).toBe(true);
    await Promise.all([first, ...busy]);
    while (decoders.free < decoders.capacity) await new Promise(setImmediate);
    expect(decodedBytes.free).toBe(decodedBytes.capacity);
  });

  it("time out or abort while others hold all decoders", async () => {
    const held = await Promise.all(
      Array.from({ length: decoders.capacity }, () => decoders.acquire(1, claim())),
    );
    const message = "a buffer of .*Expected a decoder to be free within 30 ms";
    const late = preprocess(drawing, { decodeTimeoutMs: 30 });
    await expectCode(late, "IMAGE_TIMEOUT", new RegExp(message));
    const controller = new AbortController();
    const reason = new Error("enough");
    const stopped = failure(preprocess([path, drawing], { signal: controller.signal }));
    setTimeout(() => controller.abort(reason), 20);
    expect(await stopped).toBe(reason);
    while (openFiles.free < openFiles.capacity) await new Promise(setImmediate);
    for (const release of held) release();
    expect(decoders.free).toBe(decoders.capacity);
    expect((await preprocess(path)).size).toBe(150_528);
  });
});
