// Models on the fake GPU (test/fake-cuda): what they answer, what fails and how, and what is left behind.
import { describe, expect, it } from "vitest";
import { isBuilt, run } from "./fake-gpu.ts";

describe.skipIf(!isBuilt)("a model on a GPU", () => {
  it("leaves nothing behind", () => {
    const { stderr, result } = run("leaks");
    expect(stderr).toBe("");
    expect(result.seen[1]).toEqual(result.seen[0]);
    expect(result.seen[0].memory).toMatchObject({
      queuedBytes: 0,
      parameterBytes: 0,
      activationBytes: 0,
      tensorBytes: 0,
    });
    expect(result.misuse).toBe(0);
  });

  it.each([0, 300])(
    "answers each of many forwards rightly on streams that are %i µs late",
    (delay) => {
      const { stderr, result } = run("together", { FAKE_CUDA_DELAY_US: String(delay) });
      expect(stderr).toBe("");
      expect(result).toMatchObject({ differences: 0, misuse: 0 });
    },
  );

  it.each([0, 300])("is profiled step by step on streams that are %i µs late", (delay) => {
    const { stderr, result } = run("profile", { FAKE_CUDA_DELAY_US: String(delay) });
    expect(stderr).toBe("");
    expect(result.kinds).toEqual([
      "conv2d+maxPool2d",
      "conv2d",
      "adaptiveAvgPool2d",
      "flatten+gemm",
      "output",
    ]);
    for (const time of result.times) expect(time).toBeGreaterThanOrEqual(0);
    expect(result.isSame).toEqual([true, true]);
    expect(result.after).toEqual(result.before);
    expect(result.misuse).toBe(0);
  });

  it("is measured for what it reaches at most", () => {
    const { stderr, result } = run("roofline");
    expect(stderr).toBe("");
    expect(result.found).toHaveLength(2);
    for (const { flopsPerSecond, bytesPerSecond } of result.found) {
      expect(flopsPerSecond).toBeGreaterThan(0);
      expect(bytesPerSecond).toBeGreaterThan(0);
    }
    expect(result.after).toEqual(result.before);
    expect(result.misuse).toBe(0);
  });

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

  it("goes on after an unknown error that does not come again", () => {
    const { stderr, result } = run("unknown");
    expect(stderr).toBe("");
    const failed = result.errors.filter((error: unknown) => error !== null);
    expect(failed.length).toBeGreaterThan(3);
    for (const error of failed)
      expect(error).toMatchObject({
        name: "VggError",
        code: "INTERNAL",
        message: expect.stringContaining("CUDA_ERROR_UNKNOWN"),
      });
    expect(result).toMatchObject({ same: Array(12).fill(true), auto: "cuda", misuse: 0 });
  });

  it("says what memory was asked for and what was free, and goes on with less", () => {
    const { stderr, result } = run("memory", { FAKE_CUDA_MEMORY: "500000000" });
    expect(stderr).toBe("");
    expect(result.error.code).toBe("OUT_OF_MEMORY");
    expect(result.error.message).toMatch(
      /Fake GPU has \d+ of 500000000 bytes free, and \d+ were asked for/,
    );
    expect(result.large.code).toBe("OUT_OF_MEMORY");
    expect(result.shape).toEqual([1, 10]);
  });

  it("computes in what its generation has, and names that", () => {
    const { stderr, result } = run("precisions", { FAKE_CUDA_CAPABILITY: "7.5" });
    expect(stderr).toBe("");
    for (const error of Object.values(result.errors))
      expect(error).toMatchObject({
        code: "UNSUPPORTED",
        message: expect.stringContaining("Expected one of float32, float16"),
      });
    expect(result.worst).toBeLessThan(5e-3);
  });

  it("takes a batch above the largest in parts, and refuses values that no part can hold", () => {
    const { stderr, result } = run("parts");
    expect(stderr).toBe("");
    expect(result.parts).toBe(2);
    expect(result.worst).toBeLessThan(2e-3);
    expect(result.aborted).toMatch(/enough/);
    expect(result.tooLarge).toMatchObject({
      code: "UNSUPPORTED",
      message:
        "Expected at most 2147483647 elements in each value of one image on a GPU, and there are 3200000000",
    });
  });

  it("launches what was said of it without a GPU", () => {
    const { stderr, result } = run("steps");
    expect(stderr).toBe("");
    for (const { ran, said } of result) expect(ran).toEqual(said);
    // Input, layers and output: 10 classes are padded, so that they do not lie as the API has them.
    expect(result[0].steps.map(({ kernel }: { kernel: string }) => kernel)).toEqual([
      "firstLayer_floats_pool_f16",
      "cuDNN",
      "adaptiveAvgPool2d_f16",
      "gemv1_f16_f32",
      "toChannelsFirst_f32",
    ]);
    expect(result[1].steps[3].kernel).toBe("cuBLASLt");
  });

  it("copies nothing for DeviceTensors that are reused, and remembers the last eight", () => {
    const { stderr, result } = run("direct");
    expect(stderr).toBe("");
    const ofEach = [2, 2, 2, 2, 2, 2, 2, 2, 2];
    expect(result.copies).toEqual([2, 0, 0, 0, ...ofEach, 0, 2]);
    expect(result.same).toBe(true);
    expect(result.inPlace).toEqual([0, 2, 0, 4]);
    expect(result.left).toBe(0);
  });

  it("is read and written without waiting for runs that do not use it", () => {
    const { stderr, result } = run("reading");
    expect(stderr).toBe("");
    expect(result).toMatchObject({ ran: 0, ranForLate: 3, same: true, misuse: 0 });
  });

  it("works beside another on a second GPU", () => {
    const { stderr, result } = run("both", { FAKE_CUDA_DEVICES: "2" });
    expect(stderr).toBe("");
    expect(result.ids).toEqual(["cuda:0", "cuda:1"]);
    expect(result.answers[1].length).toBe(10);
    for (const [i, score] of result.answers[0].entries())
      expect(Math.abs(score - result.answers[1][i])).toBeLessThan(1e-3);
    expect(result.foreign).toMatchObject({
      code: "DEVICE_UNAVAILABLE",
      message: "Expected a GPU below cuda:2 but received cuda:2",
    });
  });

  it("keeps the order of many forwards, of writes and of disposal", () => {
    const { stderr, result } = run("waiting");
    expect(stderr).toBe("");
    const expected = Array.from({ length: 30 }, (_, i) => (i === 20 ? "20 enough" : i));
    expect(result.order.filter((entry: unknown) => typeof entry === "number")).toEqual(
      expected.filter((entry) => typeof entry === "number"),
    );
    expect(result.order).toContain("20 enough");
    expect(result.shift).toBeGreaterThan(50);
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
