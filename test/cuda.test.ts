// The CUDA back end on the fake libraries (test/fake-cuda): what is found, what fails and how, and what is left behind.
import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it, onTestFinished } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const fake = process.env.VGG_FAKE_CUDA ?? join(root, "build/fake-cuda");
const isBuilt = existsSync(join(fake, "libcuda.so.1"));
if (!isBuilt)
  console.log("cuda: skipped, the fake libraries are not built: npm run test:fake-cuda");

const scratch = mkdtempSync(join(tmpdir(), "vgg-cuda-"));
afterAll(() => rmSync(scratch, { recursive: true }));

/** An empty folder on the file system of the libraries: they are linked there, so that each is still one file. */
function partialFolder(): string {
  const folder = mkdtempSync(join(root, "build/partial-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

let runs = 0;

interface Outcome {
  status: number | null;
  stderr: string;
  // biome-ignore lint/suspicious/noExplicitAny: each mode prints an object of its own
  result: any;
}

/** A mode of children/cuda.mjs in a process of its own, with an empty cache unless `cache` names one. */
function run(mode: string, env: NodeJS.ProcessEnv = {}, ...args: string[]): Outcome {
  const folder = join(scratch, String(runs++));
  mkdirSync(folder);
  const control = join(folder, "control");
  const file = openSync(control, "w");
  ftruncateSync(file, 1024);
  closeSync(file);
  const child = spawnSync(process.execPath, [join(root, "test/children/cuda.mjs"), mode, ...args], {
    encoding: "utf8",
    env: {
      ...process.env,
      VGG_CUDA_PATH: fake,
      XDG_CACHE_HOME: join(folder, "cache"),
      FAKE_CUDA_CONTROL: control,
      ...env,
    },
  });
  const { status, stderr, stdout } = child;
  return { status, stderr, result: stdout === "" ? null : JSON.parse(stdout) };
}

function cli(args: string[], env: NodeJS.ProcessEnv): { status: number | null; stdout: string } {
  return spawnSync(process.execPath, [join(root, "dist/cli/main.js"), ...args], {
    encoding: "utf8",
    env: { ...process.env, VGG_CUDA_PATH: fake, ...env },
  });
}

describe.skipIf(!isBuilt)("the libraries and GPUs", () => {
  it("are found and named", () => {
    const { status, stderr, result } = run("devices", { FAKE_CUDA_DEVICES: "2" });
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(result.listed.map(({ id }: { id: string }) => id)).toEqual(["cuda:0", "cuda:1", "cpu"]);
    expect(result.auto).toMatchObject({
      id: "cuda:0",
      kind: "cuda",
      computeCapability: "9.0",
      precisions: ["float32", "tf32", "float16", "bfloat16"],
    });
    // Asked after it was opened, and of the other only what costs it nothing.
    expect(result.auto.memoryFreeBytes).toBeGreaterThan(1e9);
    expect(result.auto.memoryFreeBytes).toBeLessThanOrEqual(result.auto.memoryBytes);
    expect(result.listed[1].memoryFreeBytes).toBeUndefined();
    expect(result.auto.uuid).toMatch(/^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(result.error).toBeNull();
    const { cuda } = result.diagnosis;
    expect(cuda.available).toBe(true);
    expect(cuda.libraries.map(({ problem }: { problem: string | null }) => problem)).toEqual([
      null,
      null,
      null,
      null,
    ]);
  });

  const refusals: [string, NodeJS.ProcessEnv, string, RegExp][] = [
    [
      "no driver",
      { VGG_CUDA_PATH: "/nowhere" },
      "LIBRARY_MISSING",
      /no NVIDIA driver is visible \(libcuda\.so\.1\)/,
    ],
    [
      "a driver that shows no GPU",
      { FAKE_CUDA_INIT: "100", CUDA_VISIBLE_DEVICES: "7" },
      "DEVICE_UNAVAILABLE",
      /CUDA_ERROR_NO_DEVICE.*CUDA_VISIBLE_DEVICES \("7"\)/,
    ],
    ["a driver of another version", { FAKE_CUDA_INIT: "803" }, "DEVICE_UNAVAILABLE", /cuda-compat/],
    ["no GPU at all", { FAKE_CUDA_DEVICES: "0" }, "DEVICE_UNAVAILABLE", /CUDA_ERROR_NO_DEVICE/],
    [
      "a driver too old for cuDNN",
      { FAKE_CUDA_DRIVER: "12040" },
      "DEVICE_UNAVAILABLE",
      /is a build for CUDA 13, but the driver supports only CUDA 12\.4/,
    ],
    [
      "cuDNN 9.10.0",
      { FAKE_CUDNN_VERSION: "91000" },
      "DEVICE_UNAVAILABLE",
      /cuDNN 9\.10\.0 .* update it/,
    ],
    [
      "cuDNN 8",
      { FAKE_CUDNN_VERSION: "8907" },
      "DEVICE_UNAVAILABLE",
      /is not supported: 9\.1 or newer/,
    ],
    [
      "a GPU that is too old",
      { FAKE_CUDA_CAPABILITY: "7.0" },
      "UNSUPPORTED",
      /compute capability 7\.0, and 7\.5 is the least/,
    ],
  ];
  it.each(refusals)("say why there is none: %s", (_, env, code, message) => {
    const { status, stderr, result } = run("devices", env);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(result.auto.id).toBe("cpu");
    expect(result.error).toMatchObject({ name: "VggError", code });
    expect(result.error.message).toMatch(message);
  });

  it.each([
    ["libcudnn_graph.so.9", "cuDNN", /libcudnn_graph\.so\.9 .* cannot be loaded/],
    ["libcudnn_engines_precompiled.so.9", "cuDNN", /engines_precompiled/],
    ["libcublasLt.so.13", "cuBLASLt", /libcublasLt\.so\.13 was not found/],
  ])(
    "are refused without %s, before anything is called that would end the process",
    (absent, library, message) => {
      const partial = partialFolder();
      for (const name of readdirSync(fake)) {
        if (name !== absent) linkSync(realpathSync(join(fake, name)), join(partial, name));
      }
      const { status, stderr, result } = run("devices", { VGG_CUDA_PATH: partial });
      expect(stderr).toBe("");
      expect(status).toBe(0);
      expect(result.auto.id).toBe("cpu");
      expect(result.error.message).toMatch(message);
      expect(result.diagnosis.cuda.reason).toContain(library);
    },
  );

  it("may lack NVRTC where the kernels are in the cache", () => {
    const partial = partialFolder();
    for (const name of readdirSync(fake)) {
      if (!name.startsWith("libnvrtc"))
        linkSync(realpathSync(join(fake, name)), join(partial, name));
    }
    const cache = { XDG_CACHE_HOME: join(scratch, "warm") };
    const absent = run("forward", { ...cache, VGG_CUDA_PATH: partial });
    expect(absent.stderr).toContain("LIBRARY_MISSING");
    expect(absent.stderr).toContain("NVRTC");
    const first = run("forward", cache);
    const second = run("forward", { ...cache, VGG_CUDA_PATH: partial });
    expect(second.stderr).toBe("");
    expect(second.result.data).toEqual(first.result.data);
  });

  it("are told by `vgg doctor`, with every try, and with exit code 0 where there is no GPU", () => {
    const { status, stdout } = cli(["doctor", "--json"], { VGG_CUDA_PATH: "/nowhere" });
    expect(status).toBe(0);
    const { cuda } = JSON.parse(stdout);
    expect(cuda.available).toBe(false);
    expect(cuda.attempts[0]).toEqual({
      library: "libcuda.so.1",
      path: "/nowhere/libcuda.so.1",
      error: "no such file",
    });
    expect(cuda.environment.VGG_CUDA_PATH).toBe("/nowhere");
    expect(cli(["doctor"], { VGG_CUDA_PATH: "/nowhere" }).stdout).toContain("libcuda.so.1");
    expect(cli(["doctor"], {}).stdout).toMatch(/ok +cuda:0 +Fake GPU/);
  });
});

describe.skipIf(!isBuilt)("a model on a GPU", () => {
  it("leaves nothing behind", () => {
    const { stderr, result } = run("leaks");
    expect(stderr).toBe("");
    expect(result.seen[1]).toEqual(result.seen[0]);
    expect(result.seen[0].memory).toEqual({
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

  it("is lost for good after a fatal error, at once, while the CPU goes on", () => {
    const { stderr, result } = run("lost");
    expect(stderr).toBe("");
    for (const error of [...result.errors, result.later, result.read, result.another])
      expect(error).toMatchObject({ name: "VggError", code: "DEVICE_LOST" });
    // Whichever call met it first says what it was.
    const messages = result.errors.map(({ message }: { message: string }) => message).join();
    expect(messages).toContain("CUDA_ERROR_ILLEGAL_ADDRESS");
    // Nothing is asked of a device that is gone.
    expect(result.callsAfter).toBe(0);
    expect(result.onCpu).toEqual([1, 10]);
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

  it("copies nothing for DeviceTensors that come again, of which it keeps the last eight", () => {
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

  it("uses no engine that computes wrong numbers", () => {
    const { stderr, result } = run("wrong", { FAKE_CUDNN_WRONG: "1" });
    expect(stderr).toBe("");
    expect(result.misuse).toBe(0);
    for (const { code, message } of result.outcomes) {
      expect(code).toBe("UNSUPPORTED");
      expect(message).toMatch(/no engine for a convolution of .* computes wrong numbers/);
    }
  });

  it("adds the bias of a linear layer itself where cuBLASLt cannot", () => {
    const env = { XDG_CACHE_HOME: join(scratch, "apart") };
    const [whole, apart, again] = [
      run("forward", {}, "batch"),
      run("forward", { ...env, FAKE_CUBLASLT_NO_BIAS: "1" }, "batch"),
      run("forward", { ...env, FAKE_CUBLASLT_NO_BIAS: "1" }, "batch"),
    ];
    for (const { stderr, result } of [apart, again]) {
      expect(stderr).toBe("");
      for (const [i, score] of whole.result.data.entries())
        expect(Math.abs(score - result.data[i])).toBeLessThan(2e-3);
    }
    expect(apart.result.matmuls).toBeGreaterThan(0);
    expect(again.result.matmuls).toBeLessThan(apart.result.matmuls);
  });

  it("convolves by its own kernel where that is asked for, and where it is faster if any form is", () => {
    const plain = run("convolutions", { VGG_CUDA_FORM: "plain" });
    const largest = Math.max(...plain.result.data);
    for (const [form, capability, executions] of [
      ["", "9.0", 3],
      ["direct", "9.0", 0],
      ["any", "9.0", 0],
      ["any", "8.9", 3],
      ["direct", "12.0", 3],
    ] as const) {
      const env = { VGG_CUDA_FORM: form, FAKE_CUDA_CAPABILITY: capability };
      const { stderr, result } = run("convolutions", env);
      expect(stderr).toBe("");
      expect(result).toMatchObject({ executions, misuse: 0 });
      for (const [i, value] of plain.result.data.entries())
        expect(Math.abs(value - result.data[i])).toBeLessThan(3e-3 * largest);
    }
  });

  it("keeps a linear layer's weight a second time, where to leave out zeros is faster and there is room", () => {
    const cache = { XDG_CACHE_HOME: join(scratch, "linear") };
    // A weight of 64 MiB.
    const large = ["8200", "4096"];
    const once = 2 * 8200 * 4096;
    const small = ["1001", "70"];
    const cases: [NodeJS.ProcessEnv, string[], number][] = [
      [cache, large, 2],
      [cache, large, 2],
      [{ FAKE_CUDA_MEMORY: "220000000" }, [...large, "120000000"], 1],
      [{}, small, 1],
      [{ VGG_CUDA_LINEAR: "dense" }, small, 1],
      [{ VGG_CUDA_LINEAR: "sparse" }, small, 2],
      [{ VGG_CUDA_LINEAR: "sparse", FAKE_CUDA_CAPABILITY: "8.9" }, small, 1],
    ];
    const launches = cases.map(([env, sizes, copies]) => {
      const { stderr, result } = run("linear", env, ...sizes);
      expect(stderr).toBe("");
      for (const worst of result.worst) expect(worst).toBeLessThan(3e-3);
      // An infinite weight of an input that is zero makes NaN, until it is overwritten.
      expect(result.firsts).toEqual([false, true, false]);
      if (sizes[0] === large[0]) expect(Math.round(result.parameterBytes / once)).toBe(copies);
      const [inputs, outputs] = sizes.map(Number) as [number, number];
      const used = copies === 2 ? result.positive : inputs;
      expect(result).toMatchObject({ used, left: 0, misuse: 0 });
      if (copies === 2)
        expect(result.bytes).toBe(2 * (inputs + outputs) + (2 * used + 4) * outputs);
      return result.launches;
    });
    expect(launches[1]).toBeLessThan(launches[0]);
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

  it("lets 8 forwards in and keeps the order of the rest, of writes and of disposal", () => {
    const { stderr, result } = run("waiting");
    expect(stderr).toBe("");
    const expected = Array.from({ length: 30 }, (_, i) => (i === 20 ? "20 enough" : i));
    expect(result.order.filter((entry: unknown) => typeof entry === "number")).toEqual(
      expected.filter((entry) => typeof entry === "number"),
    );
    expect(result.order).toContain("20 enough");
    // An input and an output for each run that was let in, and what the first one left in the pool.
    expect(result.peak).toBeLessThanOrEqual(18);
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

describe.skipIf(!isBuilt)("the cache of plans and kernels", () => {
  it("spares the next process the measurements and NVRTC", () => {
    const cache = { XDG_CACHE_HOME: join(scratch, "cache") };
    const first = run("forward", cache).result;
    const second = run("forward", cache).result;
    expect(second.data).toEqual(first.data);
    expect(first.compilations).toBeGreaterThan(0);
    expect(second.compilations).toBe(0);
    expect(second.executions).toBeLessThan(first.executions / 10);
  });

  it("may be damaged, or impossible to write", () => {
    const cache = join(scratch, "damaged");
    const first = run("forward", { XDG_CACHE_HOME: cache }).result;
    const folder = join(cache, "vgg-cudnn/cuda");
    for (const name of readdirSync(folder))
      writeFileSync(join(folder, name), "vgg-cudnn cache 1\nx");
    const { stderr, result } = run("forward", { XDG_CACHE_HOME: cache });
    expect(stderr).toBe("");
    for (const [i, score] of first.data.entries())
      expect(Math.abs(score - result.data[i])).toBeLessThan(1e-3);
    const file = join(scratch, "file");
    writeFileSync(file, "");
    expect(run("forward", { XDG_CACHE_HOME: file }).stderr).toBe("");
  });

  it("is not needed for the same bits in each process where the device is deterministic", () => {
    const [a, b] = [run("forward", {}, "deterministic"), run("forward", {}, "deterministic")];
    expect(a.stderr).toBe("");
    expect(b.result.data).toEqual(a.result.data);
  });
});
