// What the CUDA back end chooses between on the fake GPU (test/fake-cuda), and what it keeps of that on disk.
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { fake, isBuilt, root, run, scratch } from "./fake-gpu.ts";

const small = ["1001", "70"];
// A weight of 64 MiB.
const large = ["8200", "4096"];

/** The environment of a child whose device has forced kernels. */
const forcing = (kernels: Record<string, unknown>) => ({
  FORCED_KERNELS: JSON.stringify(kernels),
});

/** A linear layer of these sizes; how often its weight is to be kept. Returns how many kernels were launched. */
function checkLinear(env: NodeJS.ProcessEnv, args: string[], copies: number): number {
  const { stderr, result } = run("linear", env, ...args);
  expect(stderr).toBe("");
  for (const worst of result.worst) expect(worst).toBeLessThan(3e-3);
  // An infinite weight of an input that is zero makes NaN, until it is overwritten.
  expect(result.firsts).toEqual(args.includes("once") ? [false] : [false, true, false]);
  const [inputs, outputs] = args.map(Number) as [number, number];
  const isLarge = inputs === Number(large[0]);
  if (isLarge) expect(Math.round(result.parameterBytes / (2 * inputs * outputs))).toBe(copies);
  const { used, positive } = result;
  expect(result).toMatchObject({ left: 0, misuse: 0 });
  if (copies === 1) {
    expect(used).toBe(inputs);
  } else {
    // Some are read before it is known that they are zero.
    expect(used).toBeGreaterThanOrEqual(positive);
    expect(used).toBeLessThanOrEqual(positive + (isLarge ? 128 : 0));
    expect(result.bytes).toBe(2 * (inputs + outputs) + (2 * used + 4) * outputs);
  }
  return result.launches;
}

describe.skipIf(!isBuilt)("what runs a layer", () => {
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

  it("convolves by its own kernel where that is faster, or asked for, and the GPU can", () => {
    const cache = { XDG_CACHE_HOME: join(scratch, "direct") };
    const plain = run("convolutions", forcing({ form: "plain" }));
    const largest = Math.max(...plain.result.data);
    const launches = [
      ["", "9.0", 0],
      ["", "9.0", 0],
      ["direct", "9.0", 0],
      ["cudnn", "9.0", 3],
      ["", "8.9", 3],
      ["direct", "12.0", 3],
    ].map(([form, capability, executions]) => {
      const env = { ...forcing(form ? { form } : {}), FAKE_CUDA_CAPABILITY: `${capability}` };
      const { stderr, result } = run("convolutions", { ...cache, ...env });
      expect(stderr).toBe("");
      expect(result).toMatchObject({ executions, misuse: 0 });
      for (const [i, value] of plain.result.data.entries())
        expect(Math.abs(value - result.data[i])).toBeLessThan(3e-3 * largest);
      return result.launches;
    });
    // The second time nothing is timed.
    expect(launches[1]).toBeLessThan(launches[0] / 5);
  });

  it("leaves its own convolution out where all must be the same in each process", () => {
    const { stderr, result } = run("convolutions", {}, "deterministic");
    expect(stderr).toBe("");
    expect(result).toMatchObject({ executions: 3, misuse: 0 });
  });

  it("refuses a form and a kernel that do not exist", () => {
    for (const [name, list] of [
      ["form", "plain, fused, cudnn, direct"],
      ["linear", "dense, sparse"],
    ]) {
      const { result } = run("refused", forcing({ [`${name}`]: "Fused" }));
      expect(result.name).toBe("RangeError");
      expect(result.message).toBe(`Expected one of ${list} for ${name} but received Fused`);
    }
  });

  it("forces a form on one device, not on others of the process", () => {
    const { stderr, result } = run("beside");
    expect(stderr).toBe("");
    expect(result).toEqual({
      executions: { "cuda:0 (form cudnn)": 3, "cuda:0 (form direct)": 0, "cuda:0 (sparse)": 0 },
      misuse: 0,
    });
  });

  it("skips a linear layer's zeros if asked to", () => {
    checkLinear({}, small, 1);
    checkLinear(forcing({ linear: "dense" }), small, 1);
    checkLinear(forcing({ linear: "sparse" }), small, 2);
    checkLinear({ ...forcing({ linear: "sparse" }), FAKE_CUDA_CAPABILITY: "7.5" }, small, 2);
  });

  // Not under the sanitizers: minutes there, for what the tests before and after run as well.
  it.skipIf(process.env.VGG_FAKE_CUDA !== undefined)(
    "keeps a weight a second time where forwards without its zeros are faster and there is room",
    () => {
      const cache = { XDG_CACHE_HOME: join(scratch, "linear") };
      const first = checkLinear(cache, large, 2);
      expect(checkLinear(cache, [...large, "once"], 2)).toBeLessThan(first);
      checkLinear({ FAKE_CUDA_MEMORY: "220000000" }, [...large, "120000000"], 1);
    },
  );

  // The same.
  it.skipIf(process.env.VGG_FAKE_CUDA !== undefined)(
    "keeps no second weight if the kernel that wants it computes something else for the whole layer",
    () => {
      // More blocks than the layer with few outputs has that is checked before.
      const env = { FAKE_CUDA_PLANTED: "sparseGemv:leaves-out-a-block:200" };
      checkLinear(env, [...large, "once"], 1);
    },
  );

  // The same.
  it.skipIf(process.env.VGG_FAKE_CUDA !== undefined)(
    "keeps no second weight for a small part of a forward, and does not try again",
    () => {
      const cache = { XDG_CACHE_HOME: join(scratch, "deep") };
      const [first, again] = [run("deep", cache), run("deep", cache)];
      for (const { stderr, result } of [first, again]) {
        expect(stderr).toBe("");
        expect(result).toMatchObject({ copies: 1, left: 0, misuse: 0 });
      }
      expect(again.result.launches).toBeLessThan(first.result.launches);
    },
  );
});

/** What the fake has our kernels do wrong; each is faster for it. */
const faults = ["returns-at-once", "stores-nothing", "stores-once", "leaves-out-a-block"];
const isAlwaysBroken = (fault: string) => fault !== "stores-once";
const planted = (kernel: string, fault: string) => ({ FAKE_CUDA_PLANTED: `${kernel}:${fault}` });
/** What kernels without a fault compute. */
let sound: { convolutions: number[]; forward: number[] } | undefined;

describe.skipIf(!isBuilt).each(faults)("a kernel of ours that %s", (fault) => {
  const near = (data: number[], expected: number[]) => {
    const largest = Math.max(...expected.map(Math.abs));
    for (const [i, value] of expected.entries())
      expect(Math.abs(value - data[i]!)).toBeLessThan(3e-3 * largest);
  };
  beforeAll(() => {
    sound ??= {
      convolutions: run("convolutions", forcing({ form: "plain" })).result.data,
      forward: run("forward").result.data,
    };
  });

  it.each(["", "direct"])("runs no convolution, asked for as '%s'", (form) => {
    const env = { ...planted("convolution", fault), ...forcing(form ? { form } : {}) };
    const { stderr, result } = run("convolutions", env);
    expect(stderr).toBe("");
    expect(result).toMatchObject({ executions: 3, misuse: 0 });
    near(result.data, sound!.convolutions);
  });

  it("runs no convolution that was chosen before it was so, and is not tried again", () => {
    const cache = { XDG_CACHE_HOME: join(scratch, `direct ${fault}`) };
    expect(run("convolutions", cache).result.executions).toBe(0);
    for (const env of [planted("convolution", fault), {}]) {
      const { stderr, result } = run("convolutions", { ...cache, ...env });
      expect(stderr).toBe("");
      expect(result).toMatchObject({ executions: 3, misuse: 0 });
      near(result.data, sound!.convolutions);
    }
  });

  it.each(["", "deterministic"])("runs no linear layer of a device '%s'", (kind) => {
    const { stderr, result } = run("forward", planted("gemv", fault), kind);
    expect(stderr).toBe("");
    expect(result).toMatchObject({ steady: 1, misuse: 0 });
    near(result.data, sound!.forward);
  });

  it("runs no linear layer that was chosen before it was so", () => {
    const cache = { XDG_CACHE_HOME: join(scratch, `gemv ${fault}`) };
    expect(run("forward", cache).result.steady).toBe(0);
    const { stderr, result } = run("forward", { ...cache, ...planted("gemv", fault) });
    expect(stderr).toBe("");
    expect(result).toMatchObject({ steady: 1, misuse: 0 });
    near(result.data, sound!.forward);
  });

  // Packing needs to store but once, and the first layer is not checked for what it does later.
  it.skipIf(!isAlwaysBroken(fault)).each([
    ["firstLayer", fault],
    // A missing block would hold only padding.
    ["packFirstFilter", fault === "leaves-out-a-block" ? "stores-nothing" : fault],
  ])("makes no first layer: %s", (kernel, its) => {
    const { stderr, result } = run("forward", planted(kernel, its));
    expect(stderr).toBe("");
    // Two; with our kernel it is one.
    expect(result).toMatchObject({ convolutions: 2, misuse: 0 });
    near(result.data, sound!.forward);
  });

  it("skips no zeros", () => {
    checkLinear({ ...forcing({ linear: "sparse" }), ...planted("sparseGemv", fault) }, small, 1);
    if (isAlwaysBroken(fault))
      checkLinear(
        { ...forcing({ linear: "sparse" }), ...planted("transposeMatrix", fault) },
        small,
        1,
      );
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

  it("holds what was chosen for the kernels as they are, not for others before them", () => {
    const addon = process.env.VGG_ADDON ?? join(root, "build/Release/vgg_cudnn.node");
    // The addon and the fake with another comment in our kernels.
    const other = join(scratch, "other");
    mkdirSync(other);
    const patched = (from: string, to: string) => {
      const bytes = readFileSync(from);
      for (const [text, changed] of [
        ["Linear layers for a few images", "Linear layers of a few images "],
        ["A 3 × 3 convolution of a few images", "One 3 × 3 convolution of few images"],
      ] as const) {
        const at = bytes.indexOf(text);
        expect(at).toBeGreaterThan(0);
        bytes.write(changed, at);
      }
      writeFileSync(to, bytes);
    };
    for (const name of readdirSync(fake)) {
      const to = join(other, name);
      if (name === "libfake_cuda.so") patched(join(fake, name), to);
      else symlinkSync("libfake_cuda.so", to);
    }
    const changed = join(scratch, "other.node");
    patched(addon, changed);
    for (const [mode, work] of [
      ["convolutions", "launches"],
      ["forward", "matmuls"],
    ] as const) {
      const cache = { XDG_CACHE_HOME: join(scratch, `other ${mode}`) };
      const env = { ...cache, VGG_ADDON: changed, VGG_CUDA_PATH: other };
      const [first, again, anew, last] = [cache, cache, env, env].map((each) => run(mode, each));
      for (const each of [first, again, anew, last]) expect(each?.stderr).toBe("");
      const [a, b, c, d] = [first, again, anew, last].map((each) => each?.result[work]);
      expect(b).toBeLessThan(a);
      expect(c).toBeGreaterThan(b);
      expect(d).toBe(b);
    }
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
