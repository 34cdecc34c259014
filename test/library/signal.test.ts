// One listener on a signal serves any number of calls, and nothing is left when they end.
import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { Tensor, Vgg } from "../../lib/index.ts";
import { onAbort, unlessAborted } from "../../lib/signal.ts";

const listeners = (signal: AbortSignal) => getEventListeners(signal, "abort").length;

describe("onAbort", () => {
  it("adds one listener for any number of calls, and none is left when all have ended", () => {
    const { signal } = new AbortController();
    const releases = Array.from({ length: 100 }, () => onAbort(signal, () => {}));
    expect(listeners(signal)).toBe(1);
    for (const release of releases) release();
    expect(listeners(signal)).toBe(0);
    releases[0]!(); // A second release does nothing.
    const again = onAbort(signal, () => {});
    expect(listeners(signal)).toBe(1);
    releases[1]!();
    expect(listeners(signal)).toBe(1);
    again();
    expect(listeners(signal)).toBe(0);
  });

  it("calls each that still waits once, in order, and leaves no listener", () => {
    const controller = new AbortController();
    const { signal } = controller;
    const calls: string[] = [];
    onAbort(signal, () => calls.push("a"));
    onAbort(signal, () => calls.push("released"))();
    const release = onAbort(signal, () => calls.push("b"));
    const same = () => calls.push("twice");
    onAbort(signal, same);
    onAbort(signal, same);
    controller.abort();
    release();
    controller.abort();
    expect(calls).toEqual(["a", "b", "twice", "twice"]);
    expect(listeners(signal)).toBe(0);
  });

  it("does not call what an earlier call has released", () => {
    const controller = new AbortController();
    const calls: string[] = [];
    let release = () => {};
    onAbort(controller.signal, () => release());
    release = onAbort(controller.signal, () => calls.push("late"));
    controller.abort();
    expect(calls).toEqual([]);
  });

  it("calls at once if the signal has aborted, and never without a signal", () => {
    const calls: string[] = [];
    onAbort(AbortSignal.abort(), () => calls.push("aborted"))();
    onAbort(undefined, () => calls.push("no signal"))();
    expect(calls).toEqual(["aborted"]);
  });

  it("keeps a signal of AbortSignal.any alive while something waits for it", async () => {
    const controller = new AbortController();
    const stopped = new Promise<void>((resolve) => {
      onAbort(AbortSignal.any([controller.signal]), resolve);
    });
    globalThis.gc?.();
    controller.abort();
    await stopped;
  });
});

describe("unlessAborted", () => {
  it("settles with the value, the error, or the signal's reason, and leaves no listener", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    expect(await unlessAborted(Promise.resolve(1), signal)).toBe(1);
    await expect(unlessAborted(Promise.reject(new Error("no")), signal)).rejects.toThrow("no");
    expect(listeners(signal)).toBe(0);
    const never = unlessAborted(new Promise(() => {}), signal);
    controller.abort("enough");
    await expect(never).rejects.toBe("enough");
    expect(listeners(signal)).toBe(0);
    expect(await unlessAborted(Promise.resolve(2), undefined)).toBe(2);
  });
});

describe("one signal for many calls", () => {
  it("gets one listener and no warning of a leak, and keeps none", async () => {
    const warnings: Error[] = [];
    const warn = (warning: Error) => void warnings.push(warning);
    process.on("warning", warn);
    const { signal } = new AbortController();
    const model = await Vgg.create("vgg11", {
      device: "cpu",
      imageSize: 32,
      numClasses: 2,
      hiddenFeatures: 64,
    });
    const input = Tensor.zeros([1, 3, 32, 32]);
    await Promise.all(Array.from({ length: 12 }, () => model.forward(input, { signal })));
    const sources = Array.from({ length: 12 }, () => Buffer.from("no image"));
    await Promise.allSettled(sources.map((source) => model.classify(source, { signal })));
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", warn);
    expect(warnings).toEqual([]);
    expect(listeners(signal)).toBe(0);
    await model.dispose();
  });
});
