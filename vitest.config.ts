import { defineConfig } from "vitest/config";

// `.ci/run` names a folder: each run of vitest writes a report of its own there.
const folder = process.env.VGG_TEST_REPORT;

export default defineConfig({
  test: {
    ...(folder && {
      reporters: ["default", "json"],
      outputFile: { json: `${folder}/${process.pid}.json` },
    }),
    include: ["test/**/*.test.ts"],
    // Each file in its own process, no more than two at once: a whole VGG11 with its golden weights takes 2 GB.
    pool: "forks",
    maxWorkers: 2,
    execArgv: ["--expose-gc"],
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
});
