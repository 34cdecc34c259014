// The fake GPU of test/fake-cuda in tests: where it is, and processes of children/cuda.mjs that run on it.
import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const fake = process.env.VGG_FAKE_CUDA ?? join(root, "build/fake-cuda");
export const isBuilt = existsSync(join(fake, "libcuda.so.1"));
if (!isBuilt)
  console.log("cuda: skipped, the fake libraries are not built: npm run test:fake-cuda");

export const scratch = mkdtempSync(join(tmpdir(), "vgg-cuda-"));
afterAll(() => rmSync(scratch, { recursive: true }));

let runs = 0;

export interface Outcome {
  status: number | null;
  stderr: string;
  // biome-ignore lint/suspicious/noExplicitAny: each mode prints another object
  result: any;
}

/** A mode of children/cuda.mjs in a separate process, with an empty cache unless `cache` names one. */
export function run(mode: string, env: NodeJS.ProcessEnv = {}, ...args: string[]): Outcome {
  const folder = join(scratch, String(runs++));
  mkdirSync(folder);
  const control = join(folder, "control");
  const file = openSync(control, "w");
  ftruncateSync(file, 1024);
  closeSync(file);
  const child = spawnSync(
    process.execPath,
    [join(root, "test/fake-gpu/children/cuda.mjs"), mode, ...args],
    {
      encoding: "utf8",
      env: {
        ...process.env,
        VGG_CUDA_PATH: fake,
        XDG_CACHE_HOME: join(folder, "cache"),
        FAKE_CUDA_CONTROL: control,
        ...env,
      },
    },
  );
  const { status, stderr, stdout } = child;
  return { status, stderr, result: stdout === "" ? null : JSON.parse(stdout) };
}

export function cli(
  args: string[],
  env: NodeJS.ProcessEnv,
): { status: number | null; stdout: string } {
  return spawnSync(process.execPath, [join(root, "dist/cli/main.js"), ...args], {
    encoding: "utf8",
    env: { ...process.env, VGG_CUDA_PATH: fake, ...env },
  });
}
