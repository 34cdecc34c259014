// `npm run test:realms`: a part of the suite in contexts of node:vm, as under Jest.
import { defineConfig } from "vitest/config";
import { file, run } from "./vitest.config.ts";

// What takes objects from a caller or gives them back; each context has its own Array, Error and Float32Array.
const files = [
  ...["addon/calls", "addon/image-objects", "addon/image-sources", "addon/realms", "addon/tensor"],
  ...["device/device", "device/graph", "device/refusals", "device/vgg"],
  ...["library/builder", "library/checkpoint", "library/hub", "library/safetensors"],
  "library/signal",
];

export default defineConfig({
  test: { ...run, ...file, pool: "vmForks", include: files.map((name) => `test/${name}.test.ts`) },
});
