// How `npm test` runs the suite.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** `.ci/run` names a folder: each run of vitest writes its own report there. */
const reports = process.env.VGG_TEST_REPORT;

/** What a run has as a whole. */
export const run = {
  // No more than two files at once: a whole VGG11 with its golden weights takes 2 GB.
  maxWorkers: 2,
  ...(reports && {
    reporters: ["default", "json"],
    outputFile: { json: `${reports}/${process.pid}.json` },
  }),
};

/** What each file has: a process, and time. */
export const file = {
  pool: "forks" as const,
  execArgv: ["--expose-gc"],
  testTimeout: 240_000,
  hookTimeout: 240_000,
  // A machine that is busy may need more than the usual second.
  expect: { poll: { timeout: 20_000 } },
};

/** The folders of test/, by what their tests need (docs/ci.md): `vitest run --project library`. */
export const folders = [
  "library",
  "addon",
  "device",
  "fake-gpu",
  "cli",
  "real-cuda",
  "recipes",
  "registry",
];

/**
 * The server's tests run with the sources of the library, as the library's own do. What needs clients has a configuration of its own.
 * VGG_WITHOUT_TOOLS=1 omits what needs Chromium, Redis or schemas, also where they are installed.
 */
const serve = {
  resolve: { alias: { "vgg-cudnn": fileURLToPath(new URL("lib/index.ts", import.meta.url)) } },
  test: {
    ...file,
    name: "serve",
    include: ["serve/test/**/*.test.ts"],
    exclude: [
      "serve/test/clients/**",
      ...(process.env.VGG_WITHOUT_TOOLS === "1" ? ["serve/test/{page,worker,deploy}/**"] : []),
    ],
  },
};

export default defineConfig({
  test: {
    ...run,
    projects: [
      ...folders.map((name) => ({
        test: { ...file, name, include: [`test/${name}/**/*.test.ts`] },
      })),
      serve,
    ],
  },
});
