// `npm run test:clients`: the calls of the clients, one after the other, because some measure.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { file, run } from "../../../vitest.config.ts";

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  resolve: {
    alias: { "vgg-cudnn": fileURLToPath(new URL("../../../lib/index.ts", import.meta.url)) },
  },
  test: {
    ...run,
    ...file,
    fileParallelism: false,
    globalSetup: "./setup.ts",
    include: ["*.test.ts"],
  },
});
