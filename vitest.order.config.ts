// `npm run test:order`: the random sequences of calls, many more than in `npm test`.
import { defineConfig } from "vitest/config";
import { file, run } from "./vitest.config.ts";

export default defineConfig({
  test: {
    ...run,
    ...file,
    include: ["test/device/order.test.ts"],
    env: { VGG_SEQUENCES: process.env.VGG_SEQUENCES ?? "20000" },
  },
});
