// The fake GPU of test/fake-cuda in the test's own process: each test file has one, so each may have another GPU.
import { ftruncateSync, openSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import * as library from "../../lib/index.ts";
import { fake, scratch } from "./fake-gpu.ts";
import { makeNetwork, type Network, openControl } from "./network.mjs";

const block = join(scratch, "control");
ftruncateSync(openSync(block, "w"), 1024);
export const { control, counts } = openControl(block);

/** Makes the fake GPU what this process sees, with an empty cache. Call it before anything asks for a device. */
export function useFakeGpu(env: NodeJS.ProcessEnv = {}): void {
  Object.assign(process.env, {
    VGG_CUDA_PATH: fake,
    XDG_CACHE_HOME: join(scratch, "cache"),
    FAKE_CUDA_CONTROL: block,
    ...env,
  });
}

// What a child process would have written to its standard error.
const warnings: Error[] = [];
process.on("warning", (warning) => warnings.push(warning));
afterAll(() => {
  expect(warnings).toEqual([]);
  expect(control("misuseCount")).toBe(0);
});

export const network = (
  device: library.Device,
  options?: { seed?: number; precision?: library.Precision },
): Promise<Network> => makeNetwork(library, device, options);
