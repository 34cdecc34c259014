// What is found of NVIDIA's libraries and GPUs, and what is said where something lacks, on the fake ones (test/fake-cuda).
import { spawnSync } from "node:child_process";
import {
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { cli, fake, isBuilt, root, run, scratch } from "./fake-gpu.ts";

/** An empty folder on the file system of the libraries: they are linked there, so that each is still one file. */
function partialFolder(): string {
  const folder = mkdtempSync(join(root, "build/partial-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
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
      /is not supported: cuDNN 9 is needed/,
    ],
    [
      "a GPU that is too old",
      { FAKE_CUDA_CAPABILITY: "7.0" },
      "UNSUPPORTED",
      /compute capability 7\.0, and 7\.5 is the least/,
    ],
  ];
  it("may be the first of cuDNN 9", () => {
    const { stderr, result } = run("devices", { FAKE_CUDNN_VERSION: "90000" });
    expect(stderr).toBe("");
    expect(result.auto.id).toBe("cuda:0");
  });

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

  it.each([
    ["libcudnn.so.9", "cuDNN"],
    ["libcudnn_ops.so.9", "cuDNN"],
    ["libcudnn_graph.so.9", "cuDNN"],
    ["libcublasLt.so.13", "cuBLASLt"],
  ])("are refused if %s is truncated, and the CPU is used", (damaged, library) => {
    const partial = partialFolder();
    for (const name of readdirSync(fake)) {
      const path = realpathSync(join(fake, name));
      if (name === damaged)
        writeFileSync(join(partial, name), readFileSync(path).subarray(0, 9000));
      else linkSync(path, join(partial, name));
    }
    const { status, stderr, result } = run("devices", { VGG_CUDA_PATH: partial });
    expect([status, stderr]).toEqual([0, ""]);
    expect(result.auto.id).toBe("cpu");
    const text = `${join(partial, damaged)} is truncated: it has 9000 of at least `;
    expect(result.error).toMatchObject({ name: "VggError", code: "LIBRARY_MISSING" });
    expect(result.error.message).toContain(text);
    expect(result.diagnosis.cuda.reason).toContain(`${library}: ${text}`);
    const doctor = cli(["doctor"], { VGG_CUDA_PATH: partial });
    expect(doctor.status).toBe(0);
    expect(doctor.stdout.replace(/\s+/g, " ")).toContain("is truncated: it has 9000 of at least");
  });

  it("are not waited for if one is a pipe", () => {
    const partial = partialFolder();
    expect(spawnSync("mkfifo", [join(partial, "libcudnn.so.9")]).status).toBe(0);
    const { status, result } = run("devices", { VGG_CUDA_PATH: `${partial}:${fake}` });
    expect(status).toBe(0);
    expect(result.auto.id).toBe("cuda:0");
    const { attempts } = result.diagnosis.cuda;
    expect(attempts.map(({ error }: { error: string | null }) => error)).toContain(
      `${join(partial, "libcudnn.so.9")}: is not a regular file`,
    );
  });

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
