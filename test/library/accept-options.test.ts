// The command lines of gpu/accept.sh and gpu/bench.mjs: the help and what they refuse, before they look for a GPU.
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "vgg-accept-"));
afterAll(() => rmSync(scratch, { recursive: true }));

function run(command: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: scratch, encoding: "utf8" });
  return { status, stdout, stderr };
}
const accept = (...args: string[]) => run("bash", join(root, "gpu/accept.sh"), ...args);
const bench = (...args: string[]) => run(process.execPath, join(root, "gpu/bench.mjs"), ...args);

const withValue = [
  ...["--out", "--total-timeout", "--step-timeout", "--bench-seconds", "--bench-only"],
  ...["--bench-peers", "--bench-compile", "--suite-workers", "--python"],
];
const number = "a whole number from 1 to 999999999";
const batches = "precisions and batches such as float16:1,tf32:256";
const libraries = "PyTorch, JAX or PyTorch,JAX";

describe("accept.sh", () => {
  it("prints its steps and all its options with --help", () => {
    const { status, stdout, stderr } = accept("doctor", "--help");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain("doctor abi logits forms choices bench sanitizer cores suite");
    const options = [...stdout.matchAll(/^ {2}(--\S+)/gm)].map(([, name]) => name);
    expect(options).toEqual(["--quick", ...withValue, "--help"]);
  });

  it.each([
    [["--fast"], 'Expected an option that --help lists but received "--fast"'],
    [["-q"], 'Expected an option that --help lists but received "-q"'],
    [["--quick=1"], 'Expected an option that --help lists but received "--quick=1"'],
    [["doctor", ""], /^Expected steps of doctor abi .* suite but received ""$/],
    [["doctor", "benches"], /^Expected steps of doctor abi .* suite but received "benches"$/],
    [["--total-timeout", "0"], `Expected ${number} for --total-timeout but received "0"`],
    [["--total-timeout", "08"], `Expected ${number} for --total-timeout but received "08"`],
    [["--step-timeout", "-5"], `Expected ${number} for --step-timeout but received "-5"`],
    [["--step-timeout=1e3"], `Expected ${number} for --step-timeout but received "1e3"`],
    [["--bench-seconds", "1.5"], `Expected ${number} for --bench-seconds but received "1.5"`],
    [["--suite-workers", "9999999999"], /^Expected .* but received "9999999999"$/],
    [["--bench-only", ""], `Expected ${batches} for --bench-only but received ""`],
    [["--bench-only", "float16"], `Expected ${batches} for --bench-only but received "float16"`],
    [["--bench-compile", "fp8:1"], `Expected ${batches} for --bench-compile but received "fp8:1"`],
    [
      ["--bench-peers", "JAX,TVM"],
      `Expected ${libraries} for --bench-peers but received "JAX,TVM"`,
    ],
    [["--out="], 'Expected a value for --out but received ""'],
    [["--python", "no/python3"], 'Expected a program for --python but received "no/python3"'],
    [["--python", "/tmp"], 'Expected a program for --python but received "/tmp"'],
  ])("refuses %j with one line", (args, message) => {
    const { status, stdout, stderr } = accept(...args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toMatch(/^[^\n]+\n$/);
    if (typeof message === "string") expect(stderr).toBe(`${message}\n`);
    else expect(stderr.trimEnd()).toMatch(message);
    expect(existsSync(join(scratch, "results"))).toBe(false);
  });

  it.each(withValue)("refuses %s without a value", (option) => {
    for (const args of [[option], [option, "--quick"]])
      expect(accept(...args)).toEqual({
        status: 2,
        stdout: "",
        stderr: `Expected a value after ${option}\n`,
      });
  });

  it("passes the options on to the scripts of its steps", () => {
    const bin = join(scratch, "bin");
    mkdirSync(bin);
    for (const name of ["node", "python3"])
      writeFileSync(join(bin, name), "#!/bin/sh\nprintf '<%s>' \"$@\"\necho\n", { mode: 0o755 });
    const options = ["--bench-seconds=5", "--bench-only", "float16:1", "--bench-peers", ""];
    const python = join(bin, "python3");
    const { status, stderr } = spawnSync(
      "bash",
      [
        ...[join(root, "gpu/accept.sh"), "--quick", "--out", "kept", "--python", python, "forms"],
        ...["choices", "bench", "suite", ...options, "--suite-workers", "3"],
      ],
      {
        cwd: scratch,
        encoding: "utf8",
        env: { ...process.env, PATH: `${bin}:${process.env.PATH}` },
      },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const out = join(realpathSync(scratch), "kept");
    const log = readFileSync(join(out, "log.txt"), "utf8");
    expect(log).toMatch(/forms.mjs><--quick><.*forms.json>$/m);
    expect(log).toMatch(/choices.mjs><--quick><.*choices.json>$/m);
    const passed = "<--seconds><5><--only><float16:1><--peers><>";
    expect(log).toContain(`/gpu/bench.mjs><--quick><--results><${out}>${passed}<`);
    expect(log).toContain(`bench.json><${python}>\n`);
    expect(log).toMatch(/vitest.mjs><run><--maxWorkers><3>.*<test\/library\/topology.test.ts>$/m);
    expect(JSON.parse(readFileSync(join(out, "results.json"), "utf8"))).toMatchObject({
      quick: true,
      steps: ["forms", "choices", "bench", "suite"].map((step) => ({ step, status: "passed" })),
    });
  });

  it("names every option in docs/gpu.md", () => {
    const path = join(root, "docs/gpu.md");
    if (!existsSync(path)) return; // The bundle for GPU servers has no docs.
    const named = [...readFileSync(path, "utf8").matchAll(/^\| `(--[a-z-]+)/gm)];
    expect(named.map(([, name]) => name)).toEqual(["--quick", ...withValue, "--help"]);
  });
});

describe("bench.mjs", () => {
  it.each([
    [["--fast"], /^Unknown option '--fast'/],
    [["--seconds"], /^Option '--seconds <value>' argument missing$/],
    [["--seconds", "many"], "Expected seconds above 0 for --seconds but received many"],
    [["--only", "float16:0"], `Expected ${batches} for --only but received float16:0`],
    [["--peers", "TVM"], "Expected PyTorch or JAX for --peers but received TVM"],
  ])("refuses %j with one line", (args, message) => {
    const { status, stdout, stderr } = bench(...args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toMatch(/^[^\n]+\n$/);
    expect(stderr.trimEnd()).toMatch(message);
  });
});
