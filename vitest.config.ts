import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Each file in its own process, no more than two at once: a whole VGG11 with its golden weights takes 2 GB.
    pool: "forks",
    maxWorkers: 2,
    execArgv: ["--expose-gc"],
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
});
