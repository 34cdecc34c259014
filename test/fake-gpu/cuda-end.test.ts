// The end of a fake GPU (test/fake-cuda) and of its process: each ends a child, which children/cuda.mjs is.
import { describe, expect, it } from "vitest";
import { isBuilt, run } from "./fake-gpu.ts";

describe.skipIf(!isBuilt)("a model on a GPU", () => {
  it.each([
    ["CUDA_ERROR_ILLEGAL_ADDRESS", 4],
    ["CUDA_ERROR_UNKNOWN", 5],
  ])("is lost for good after %s, at once, and the CPU is what works", (name, kind) => {
    const { stderr, result } = run("lost", {}, String(kind));
    expect(stderr).toBe("");
    for (const error of [...result.errors, result.later, result.read, result.another])
      expect(error).toMatchObject({ name: "VggError", code: "DEVICE_LOST" });
    // Whichever call met it first says what it was.
    const messages = result.errors.map(({ message }: { message: string }) => message).join();
    expect(messages).toContain(name);
    // Nothing is asked of a device that is gone.
    expect(result.callsAfter).toBe(0);
    expect(result).toMatchObject({ auto: "cpu", isSame: true });
  });
});

describe.skipIf(!isBuilt)("the end of the process", () => {
  const late = { FAKE_CUDA_DELAY_US: "20000" };

  it("waits for one engine of a preparation at most, and nothing is called after that", () => {
    const { status, stderr, result } = run("exit", late);
    expect(stderr).toBe("");
    expect(status).toBe(7);
    // One run to load what it needs, and two graphs of ten.
    expect(result.executions).toBeLessThanOrEqual(21);
    expect(result).toMatchObject({ code: "DEVICE_LOST", callsAfter: 0, misuse: 0 });
    expect(run("forward").result.executions).toBeGreaterThan(100);
  });

  it("waits for a worker's device that the main thread knows nothing of", () => {
    const { status, stderr } = run("exit-worker");
    expect(stderr).toBe("");
    expect(status).toBe(7);
  });
});
