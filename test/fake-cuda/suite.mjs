// Runs test/device on the fake GPU: the shipped addon, with the fake libraries instead of NVIDIA's.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const cache = mkdtempSync(join(tmpdir(), "vgg-cache-"));
// What has no part in the GPU runs on the CPU only.
const others = ["load-refusals", "load-progress"];
const all = [
  "test/device/",
  ...others.flatMap((name) => ["--exclude", `test/device/${name}.test.ts`]),
];
const chosen = process.argv.length > 2 ? process.argv.slice(2) : all;
const { status } = spawnSync(
  process.execPath,
  [join(root, "node_modules/vitest/vitest.mjs"), "run", ...chosen],
  {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      VGG_CUDA_PATH: join(root, "build/fake-cuda"),
      VGG_REQUIRE_DEVICES: "cuda",
      // A separate cache keeps the plans and kernels of a real GPU untouched.
      XDG_CACHE_HOME: cache,
    },
  },
);
rmSync(cache, { recursive: true });
process.exitCode = status ?? 1;
