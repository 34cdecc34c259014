// Ten thousand calls leak nothing: in V8's heap, in external memory, or in the process.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const script = fileURLToPath(new URL("../children/calls.mjs", import.meta.url));

interface Growth {
  heapUsed: number;
  external: number;
  arrayBuffers: number;
  rss: number;
}

describe("10,000 calls", () => {
  it("leak no memory, however they end", () => {
    const { stdout, stderr, status } = spawnSync(process.execPath, ["--expose-gc", script], {
      encoding: "utf8",
    });
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const kinds: [string, Growth][] = Object.entries(JSON.parse(stdout));
    expect(kinds).toHaveLength(6);
    for (const [kind, { heapUsed, external, arrayBuffers, rss }] of kinds) {
      // 50 bytes a call. What V8 keeps varies, and a leaked object takes a hundred bytes.
      expect(heapUsed, `heapUsed, ${kind}`).toBeLessThan(500_000);
      expect(external, `external, ${kind}`).toBeLessThan(100_000);
      expect(arrayBuffers, `arrayBuffers, ${kind}`).toBeLessThan(100_000);
      // Pages come and go with V8's own heap.
      expect(rss, `resident, ${kind}`).toBeLessThan(16 * 2 ** 20);
    }
  });
});
