import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Each file in its own process, one after the other: a whole VGG11 with its golden weights takes 2 GB.
    pool: "forks",
    fileParallelism: false,
    execArgv: ["--expose-gc"],
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
});
