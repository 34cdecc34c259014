// A small network in a file, and an engine that serves it: for tests that need real answers.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tensor, Vgg } from "vgg-cudnn";
import { afterAll, beforeAll } from "vitest";
import { InferenceEngine } from "../../lib/engine/infer.ts";
import { ModelRegistry } from "../../lib/engine/registry.ts";
import type { InferenceRecord } from "../../lib/engine/types.ts";
import { ServerHealth } from "../../lib/health.ts";
import { ModelCounts } from "../../lib/observe/statistics.ts";
import type { RequestTerms } from "../../lib/protocol/types.ts";
import { checkOptions } from "../../lib/settings/check.ts";
import type { LimitOptions, ModelOptions } from "../../lib/settings/options.ts";

/** The side of the network's images. */
export const side = 32;

export const labels = [..."abcdefghij"].map((letter) => `class ${letter}`);

/** The file of the network in a new folder. */
export async function saveSmallModel(seed = 1) {
  const folder = mkdtempSync(join(tmpdir(), "vgg-serve-model-"));
  const weights = join(folder, "small.safetensors");
  await using model = await Vgg.create("vgg11", {
    ...{ device: "cpu", imageSize: side, numClasses: labels.length, hiddenFeatures: 64 },
    ...{ labels, seed },
    preprocess: { resize: side },
  });
  await model.save(weights);
  return { folder, weights, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Starts an engine. The models are on the CPU, with two threads and without a warm-up, unless the options say more. */
export function startEngine(models: Record<string, ModelOptions>, limits: LimitOptions = {}) {
  const usual = { devices: ["cpu"], threads: 2, warmup: false };
  const settings = checkOptions({
    models: Object.fromEntries(
      Object.entries(models).map(([name, options]) => [name, { ...usual, ...options }]),
    ),
    limits,
  });
  const statistics = new ModelCounts();
  const records: InferenceRecord[] = [];
  statistics.onRecord((record) => records.push(record));
  const lost: string[] = [];
  const said: string[] = [];
  const registry = new ModelRegistry(settings, {
    onLoaded: ({ name, version }) => statistics.add(name, version),
    onUnloaded: (name, version) => statistics.remove(name, version),
    onLost: (name) => lost.push(name),
    say: (_level, _fields, message) => said.push(message),
  });
  const health = new ServerHealth(registry);
  const engine = new InferenceEngine(registry, {
    statistics,
    health,
    limits: settings.limits,
  });
  return { engine, registry, health, records, lost, said };
}

/** Serves the small network in each test of a file, and loads it into the library too, for what is expected. */
export function useSmallModel(limits: LimitOptions = {}) {
  const used = {} as ReturnType<typeof startEngine> & { model: Vgg; weights: string };
  let remove = () => {};
  beforeAll(async () => {
    const saved = await saveSmallModel();
    remove = saved.remove;
    const { weights } = saved;
    Object.assign(used, startEngine({ small: { weights } }, limits), { weights });
    await used.registry.load("small");
    used.model = await Vgg.load(weights, { device: "cpu" });
  });
  afterAll(async () => {
    await used.registry?.close();
    await used.model?.dispose();
    remove();
  });
  return used;
}

/** The terms of a request that nothing ends. */
export const terms = (more: Partial<RequestTerms> = {}): RequestTerms => ({
  priority: 0,
  client: "test",
  signal: new AbortController().signal,
  ...more,
});

/** Pixels of an image that differs with its number. */
export function pixelsOf(number: number): Uint8Array {
  const values = Tensor.randn([side * side * 3], number).data;
  return Uint8Array.from(values, (value) => Math.max(0, Math.min(255, 128 + 60 * value)));
}

/** The same image as a file: a PPM. */
export function fileOf(number: number): Uint8Array<ArrayBuffer> {
  return Buffer.concat([Buffer.from(`P6\n${side} ${side}\n255\n`), pixelsOf(number)]);
}
