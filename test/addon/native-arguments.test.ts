// No argument that JavaScript passes to the addon ends the process: each wrong one raises an exception, and the next call works.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const script = fileURLToPath(new URL("../children/native-arguments.mjs", import.meta.url));

describe("the addon", () => {
  it("refuses every wrong argument of every function with an exception of its own wording", () => {
    const { stdout, stderr, status, signal } = spawnSync(process.execPath, [script], {
      encoding: "utf8",
      maxBuffer: 2 ** 26,
    });
    expect(stderr).toBe("");
    expect({ status, signal }).toEqual({ status: 0, signal: null });
    const { calls, refused, unexpected, corner } = JSON.parse(stdout);
    expect(unexpected).toEqual([]);
    expect(calls).toBeGreaterThan(5000);
    expect(refused / calls).toBeGreaterThan(0.8);
    expect(corner).toBe(12); // 2 × 2 pixels of 3 channels
  });
});
