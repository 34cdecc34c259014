// The addon matches lib/native/addon.ts, its core passes its own tests, and its absence is explained.
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { diagnose, version } from "../../lib/index.ts";
import { native } from "../../lib/native/load.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const buildFolder = dirname(dirname(diagnose().addon.path!));

function node(script: string, env: NodeJS.ProcessEnv, type = "module") {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [`--input-type=${type}`, "--eval", script],
    {
      encoding: "utf8",
      cwd: root,
      env: { ...process.env, ...env },
    },
  );
  return { status, stdout, stderr };
}

describe("the addon", () => {
  it("is stopped at exit by one listener, however often the package is loaded", () => {
    const { stdout, stderr } = node(
      `const before = process.listenerCount("exit");
       for (const i of [0, 1, 2]) (await import("./dist/native/load.js?" + i)).native();
       console.log(process.listenerCount("exit") - before);`,
      {},
    );
    expect(stderr).toBe("");
    expect(stdout.trim()).toBe("1");
  });

  it("exports what lib/native/addon.ts describes, and nothing else", () => {
    expect(Object.keys(native()).sort()).toEqual([
      "Places",
      "compileKernels",
      "cpuInfo",
      "cudaDevices",
      "cudaDriver",
      "cudaReport",
      "halt",
      "openCpu",
      "openCuda",
      "planConvolutions",
      "poolThreads",
      "randomNormal",
      "resizeCrop",
      "setCudaSets",
      "stepCosts",
    ]);
    const device = native().openCpu(1, "", 0);
    const methods = (object: object) =>
      Object.getOwnPropertyNames(Object.getPrototypeOf(object))
        .filter((name) => name !== "constructor")
        .sort();
    expect(methods(device)).toEqual([
      "allocate",
      "createCancellation",
      "createGraph",
      "createParameters",
      "info",
      "memoryStats",
      "reserve",
      "roofline",
    ]);
    expect(methods(device.allocate(4))).toEqual(["dispose", "read", "write"]);
    const parameters = device.createParameters([], "float32");
    expect(methods(parameters)).toEqual(["dispose", "fill", "fillNormal", "hold", "read", "write"]);
    expect(methods(parameters.hold())).toEqual(["dispose", "read"]);
    expect(methods(device.reserve(4))).toEqual(["release"]);
    const graph = device.createGraph({ values: [], rows: [], inputs: [], outputs: [] }, parameters);
    expect(methods(graph)).toEqual([
      "dispose",
      "finish",
      "lastRun",
      "prepare",
      "start",
      "startProfile",
    ]);
    expect(methods(device.createCancellation())).toEqual(["cancel"]);
    expect(methods(new (native().Places)("methods", 1))).toEqual([
      "capacity",
      "change",
      "free",
      "give",
      "idleMs",
      "take",
      "wait",
    ]);
  });

  it("distinguishes its own objects from others", () => {
    const device = native().openCpu(1, "", 0);
    const record = { values: [], rows: [], inputs: [], outputs: [] };
    expect(() => device.createGraph(record, device.allocate(4) as never)).toThrow(
      "Expected a native parameters",
    );
    expect(() => device.createGraph(record, {} as never)).toThrow(TypeError);
  });

  it("fills the arrays that it is given while it computes, and names a missing one", async () => {
    const device = native().openCpu(1, "", 0);
    const values = [
      { shape: [4], dtype: "float32" },
      { shape: [4], dtype: "float32" },
    ] as const;
    const rows = [{ kind: "relu", input: 0, output: 1 }] as const;
    const record = { values, rows, inputs: [0], outputs: [1] };
    const graph = device.createGraph(record, device.createParameters([], "float32"));
    const input = Float32Array.of(1, -2, 3, -4);
    const start = () => graph.start(1, [input], [null], null, null);
    const run = (given: Float32Array | null) => graph.finish(start(), [given]);
    const filled = new Float32Array(4);
    await run(filled);
    expect([...filled]).toEqual([1, 0, 3, 0]);
    await expect(run(null)).rejects.toThrow("Expected a typed array");
    await expect(run(new Float32Array(5))).rejects.toMatchObject({ code: "INTERNAL" });
    const list = [new Float32Array(4)];
    const [array] = list;
    const running = graph.finish(start(), list);
    list[0] = new Float32Array(4); // too late to have an effect
    await running;
    expect([...array!, ...list[0]]).toEqual([1, 0, 3, 0, 0, 0, 0, 0]);
    const late = run(filled);
    structuredClone(filled.buffer, { transfer: [filled.buffer] });
    await expect(late).rejects.toMatchObject({ code: "INTERNAL" });
  });

  it("gives one promise for each started run, and only in the same turn of the event loop", async () => {
    const device = native().openCpu(1, "", 1000);
    const value = { shape: [1], dtype: "float32" } as const;
    const rows = [{ kind: "relu", input: 0, output: 1 }] as const;
    const record = { values: [value, value], rows, inputs: [0], outputs: [1] };
    const graph = device.createGraph(record, device.createParameters([], "float32"));
    const start = (x: number) => graph.start(1, [Float32Array.of(x)], [null], null, null);
    const arrays = [new Float32Array(1), new Float32Array(1)];
    const runs = [start(1), start(2)];
    const unheard = start(3);
    const ends = [graph.finish(runs[1]!, [arrays[1]!]), graph.finish(runs[0]!, [arrays[0]!])];
    const refused = "Expected a run that was started and has neither ended nor a promise";
    expect(() => graph.finish(runs[0]!, [arrays[0]!])).toThrow(refused);
    await Promise.all(ends);
    expect(arrays.map(([x]) => x)).toEqual([1, 2]);
    await graph.finish(start(4), [arrays[0]!]);
    expect(() => graph.finish(unheard, [arrays[0]!])).toThrow(refused);
    expect(device.memoryStats().queuedBytes).toBe(0);
    await graph.dispose();
  });

  const coreTest = join(buildFolder, "core_test");
  // A prebuilt addon lies apart from its build.
  it.skipIf(process.env.VGG_ADDON !== undefined && !existsSync(coreTest))(
    "has a core that passes its own tests",
    () => {
      const { status, stdout } = spawnSync(coreTest, { encoding: "utf8" });
      expect(stdout).toBe("ok\n");
      expect(status).toBe(0);
    },
  );
});

describe("the package", () => {
  it("has the version of package.json, which a bundle lacks", () => {
    const { version: published } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    expect(version, "npm version writes both").toBe(published);
  });

  it("can be imported and required", () => {
    const check =
      "if (typeof v.Vgg.create !== 'function' || typeof v.version !== 'string') process.exit(3);";
    expect(node(`import * as v from "vgg-cudnn"; ${check}`, {}).status).toBe(0);
    expect(node(`const v = require("vgg-cudnn"); ${check}`, {}, "commonjs").status).toBe(0);
  });

  it("can be imported without the addon, and then names every path tried and what to do", () => {
    const script = `
      import { diagnose, listDevices, openDevice, Vgg, VggError } from "vgg-cudnn";
      for (const call of [() => openDevice(), () => Vgg.create("vgg11"), async () => listDevices()]) {
        const error = await call().catch((e) => e);
        if (!(error instanceof VggError) || error.code !== "ADDON_MISSING") throw error;
        console.log(error.message);
      }
      if (diagnose().cpu !== null) process.exit(3);`;
    const { status, stdout, stderr } = node(script, { VGG_ADDON: "/nonexistent.node" });
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toContain(
      `Expected the native addon for ${process.platform}-${process.arch} but it could not be loaded:`,
    );
    expect(stdout).toContain("/nonexistent.node: Cannot find module");
    expect(stdout).toContain(
      "VGG_ADDON names the only file that is tried: correct it, or unset it",
    );
  });

  it("says why a file that is not an addon cannot be loaded, and loads an addon that appears later", () => {
    const folder = mkdtempSync(join(tmpdir(), "vgg-native-"));
    const file = join(folder, "broken.node");
    try {
      writeFileSync(file, "not an ELF file");
      const script = `
        import { copyFileSync } from "node:fs";
        import { openDevice } from "vgg-cudnn";
        const error = await openDevice("cpu").catch((e) => e);
        console.log(error.message);
        copyFileSync(${JSON.stringify(join(folder, "good.node"))}, ${JSON.stringify(file)});
        console.log((await openDevice("cpu")).id);`;
      copyFileSync(diagnose().addon.path!, join(folder, "good.node"));
      const { stdout, stderr } = node(script, { VGG_ADDON: file });
      expect(stderr).toBe("");
      expect(stdout).toMatch(
        /broken\.node: Expected an addon but the file is no library, or is damaged/,
      );
      expect(stdout.trimEnd().split("\n").at(-1)).toBe("cpu");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
