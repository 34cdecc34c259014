// The command line as a user calls it: exit codes, streams, tables and JSON.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
function vgg(args: string[], env: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  return { status, stdout, stderr };
}

describe("vgg check", () => {
  it("runs VGG11 and reports in three lines", () => {
    const { status, stdout, stderr } = vgg(["check"]);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const lines = stdout.split("\n");
    expect(lines.slice(0, 2)).toEqual(["[INFO]: 132,863,336 total parameters.", "[1, 1000]"]);
    expect(lines[2]).toMatch(/: cpu \(\d+ threads, .+\), float32$/);
    expect(lines.slice(3)).toEqual([""]);
  });

  it("prints one JSON object with --json", () => {
    const { status, stdout } = vgg([
      "check",
      "--json",
      "--arch",
      "vgg13_bn",
      "--image-size",
      "32",
      "--num-classes",
      "7",
      "--hidden-features",
      "64",
    ]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      arch: "vgg13_bn",
      // 9,410,880 of the convolutions, then (25088 + 1) · 64, (64 + 1) · 64 and (64 + 1) · 7
      parameterCount: 11_021_191,
      outputShape: [1, 7],
      precision: "float32",
      device: { kind: "cpu" },
    });
  });
});

describe("vgg summary", () => {
  it("prints a table", () => {
    const { status, stdout } = vgg(["summary", "--in-channels", "1", "--num-classes", "10"]);
    expect(status).toBe(0);
    expect(stdout).toContain("vgg11, input (1, 1, 224, 224)");
    expect(stdout).toContain("Total parameters: 128,806,154");
    const narrow = vgg(["summary", "--hidden-features", "512", "--num-classes", "10"]);
    expect(narrow.stdout).toContain("Total parameters: 22,333,834");
  });

  it("prints the table as JSON, and needs no addon", () => {
    const { status, stdout } = vgg(["summary", "--json"], { VGG_ADDON: "/nonexistent.node" });
    expect(status).toBe(0);
    const summary = JSON.parse(stdout);
    expect(summary).toMatchObject({
      arch: "vgg11",
      totalParameters: 132_863_336,
      totalMultiplyAdds: 7_609_090_048,
    });
    expect(summary.layers[0]).toEqual({
      name: "features.0",
      kind: "conv2d",
      outputShape: [1, 64, 224, 224],
      parameters: 1792,
      multiplyAdds: 86_704_128,
    });
  });
});

describe("vgg doctor", () => {
  it("reports what works", () => {
    const { status, stdout } = vgg(["doctor"]);
    expect(status).toBe(0);
    // The tests load a build in the package's folder, or the file that VGG_ADDON names.
    const origin = process.env.VGG_ADDON ? "named by VGG_ADDON" : "built in the package's folder";
    expect(stdout).toMatch(/^ok {4}addon/m);
    const { addon } = JSON.parse(vgg(["doctor", "--json"]).stdout);
    expect(addon).toMatchObject({
      kind: process.env.VGG_ADDON ? "environment" : "built",
      package: null,
      sha256: createHash("sha256").update(readFileSync(addon.path)).digest("hex"),
    });
    // Such as linux-x64-gnu: this machine's C library is a part of the name on Linux.
    const platform = new RegExp(`^${process.platform}-${process.arch}(-gnu|-musl)?$`);
    expect(addon.platform).toMatch(platform);
    expect(stdout).toContain(`\n                for ${addon.platform}\n`);
    expect(stdout).toContain(`\n                ${origin}, sha256 ${addon.sha256.slice(0, 12)}\n`);
    expect(stdout).toMatch(/^ok {4}cpu/m);
  });

  it("reports what is missing and how to fix it, and fails", () => {
    const { status, stdout } = vgg(["doctor"], { VGG_ADDON: "/nonexistent.node" });
    expect(status).toBe(1);
    expect(stdout).toContain("VGG_ADDON names the only file that is tried");
    expect(stdout).toContain("/nonexistent.node: Cannot find module");
    const asJson = vgg(["doctor", "--json"], { VGG_ADDON: "/nonexistent.node" });
    expect(asJson.status).toBe(1);
    expect(JSON.parse(asJson.stdout)).toMatchObject({
      cpu: null,
      addon: { path: null, sha256: null, platform: null },
    });
  });
});

describe("vgg", () => {
  it("shows its help if called without arguments", () => {
    for (const args of [[], ["--help"], ["help"]]) {
      const { status, stdout, stderr } = vgg(args);
      expect([status, stderr]).toEqual([0, ""]);
      expect(stdout).toContain("check [options]");
    }
    expect(vgg(["help", "check"]).stdout).toContain("--num-classes");
    expect(vgg(["--version"]).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it.each([
    ["an unknown command", ["bogus"], "unknown command 'bogus'"],
    ["an unknown option", ["check", "--bogus"], "unknown option '--bogus'"],
    [
      "an unknown architecture",
      ["check", "--arch", "vgg12"],
      "Allowed choices are vgg11, vgg11_bn",
    ],
    ["a fractional class count", ["check", "--num-classes", "2.5"], "Expected a whole number"],
    ["a class count of NaN", ["check", "--num-classes", "NaN"], "Expected a whole number"],
    [
      "0 classes",
      ["check", "--num-classes", "0"],
      "Expected an integer from 1 to 1000000 for --num-classes but received 0",
    ],
    [
      "too many classes",
      ["summary", "--num-classes", "1000000000"],
      "--num-classes but received 1000000000",
    ],
    [
      "an image that is too small",
      ["summary", "--image-size", "31"],
      "Expected an integer from 32 to 8192 for --image-size but received 31",
    ],
    ["an unknown device", ["check", "--device", "tpu"], 'for --device but received "tpu"'],
    ["an unknown precision", ["check", "--precision", "int4"], "Allowed choices are float32"],
    ["an option without its value", ["check", "--arch"], "argument missing"],
    ["an extra argument", ["check", "cat.jpg"], "too many arguments"],
  ])("refuses %s with one line and exit code 2", (_, args, message) => {
    const { status, stdout, stderr } = vgg(args);
    expect(status).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  it.each([
    [
      "a GPU that does not exist",
      ["check", "--device", "cuda:99"],
      /LIBRARY_MISSING|DEVICE_UNAVAILABLE/,
    ],
    [
      "a precision that the device lacks",
      ["check", "--precision", "bfloat16", "--device", "cpu"],
      /UNSUPPORTED/,
    ],
  ])("fails for %s with one line and exit code 1", (_, args, code) => {
    const { status, stdout, stderr } = vgg(args);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    const asJson = vgg([...args, "--json"]);
    expect([asJson.status, asJson.stdout]).toEqual([1, ""]);
    expect(JSON.parse(asJson.stderr).error.code).toMatch(code);
  });

  it("ends quietly if its reader closes the pipe", () => {
    const { status, stderr } = spawnSync(
      "sh",
      ["-c", `set -e; "${process.execPath}" "${script}" summary | head -1`],
      { encoding: "utf8" },
    );
    expect([status, stderr]).toEqual([0, ""]);
  });
});
