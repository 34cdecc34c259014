// The examples and README's program run unchanged.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const run = (args: string[]) => spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" });

describe("examples", () => {
  it.each(readdirSync(`${root}examples`).sort())("%s", (file) => {
    const { status, stdout, stderr } = run([`examples/${file}`]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).not.toBe("");
  });

  it("README.md", () => {
    const program = readFileSync(`${root}README.md`, "utf8").match(
      /```ts\n(import \{ Tensor.*?)```/s,
    )![1]!;
    const { status, stdout, stderr } = run(["--input-type=module", "--eval", program]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^\[ 1, 1000 \] \[ 1, 256, 56, 56 \] 132863336 (cpu|cuda)/);
  });
});
