// The registry: versions in folders, loads beside requests, failed loads, unloads, lost devices and health.
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { VggError } from "vgg-cudnn";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { ModelOptions } from "../../lib/settings/options.ts";
import { fileOf, saveSmallModel, startEngine, terms } from "../support/small-model.ts";

let first: Awaited<ReturnType<typeof saveSmallModel>>;
let second: Awaited<ReturnType<typeof saveSmallModel>>;
let open: ReturnType<typeof startEngine>[] = [];
beforeAll(async () => {
  first = await saveSmallModel(1);
  second = await saveSmallModel(2);
});
afterEach(async () => {
  for (const { registry } of open) await registry.close();
  open = [];
});
afterAll(() => {
  first?.remove();
  second?.remove();
});

function start(options: Partial<ModelOptions> = {}) {
  const started = startEngine({ small: { weights: first.weights, ...options } });
  open.push(started);
  const classify = async (version?: string) => {
    const request = { ...terms(), images: [fileOf(1)], top: 10, version };
    const [classes] = await started.engine.classify(request);
    return classes!.map(({ probability }) => probability);
  };
  return { ...started, classify };
}

/** A folder of versions, each a copy of a file. */
function repository(versions: Record<string, string>): string {
  const folder = join(first.folder, `repository-${Math.random().toString(36).slice(2)}`);
  for (const [version, file] of Object.entries(versions)) {
    mkdirSync(join(folder, version), { recursive: true });
    copyFileSync(file, join(folder, version, "model.safetensors"));
  }
  return folder;
}

describe("a model", () => {
  it("is not ready before it is loaded, and then says what it is", async () => {
    const { registry, health, classify, said } = start({ input: "pixels" });
    expect(health.ready()).toEqual({ ready: false, reason: "Model 'small' is being loaded" });
    expect(health.live()).toBe(true);
    await expect(classify()).rejects.toMatchObject({ status: 503, retryAfterSeconds: 2 });
    await registry.load("small");
    expect([health.ready(), health.modelReady("small", "1")]).toEqual([{ ready: true }, true]);
    expect(() => health.modelReady("nope")).toThrow("Request for unknown model: 'nope'");
    expect(registry.models()).toEqual([
      { name: "small", version: "1", state: "READY", reason: "" },
    ]);
    expect(registry.metadata("small")).toEqual({
      ...{ name: "small", versions: ["1"], platform: "vgg_cudnn" },
      inputs: [{ name: "pixels", datatype: "UINT8", shape: [-1, 32, 32, 3] }],
      outputs: [{ name: "probabilities", datatype: "FP32", shape: [-1, 10] }],
    });
    expect(registry.config("small")).toMatchObject({
      max_batch_size: 16,
      input: [{ name: "pixels", data_type: "TYPE_UINT8", dims: [32, 32, 3] }],
      instance_group: [{ kind: "KIND_CPU", count: 1, gpus: [] }],
      dynamic_batching: { preferred_batch_size: [1, 2, 4, 8, 16] },
    });
    expect(said).toEqual(["a model is ready"]);
  });

  it("is served in its greatest version, or in those that are wanted", async () => {
    const weights = repository({ 2: first.weights, 10: second.weights });
    const latest = start({ weights });
    await latest.registry.load("small");
    expect(latest.registry.models().map(({ version }) => version)).toEqual(["10"]);
    const all = start({ weights, versions: "all" });
    await all.registry.load("small");
    expect(all.registry.metadata("small").versions).toEqual(["2", "10"]);
    expect(await all.classify()).toEqual(await all.classify("10"));
    expect(await all.classify()).not.toEqual(await all.classify("2"));
    await expect(all.classify("3")).rejects.toMatchObject({ status: 404 });
    const absent = start({ weights, versions: ["3"] });
    await expect(absent.registry.load("small")).rejects.toThrow(
      `failed to load 'small': Expected version 3 in ${weights} but it has 10, 2`,
    );
    rmSync(weights, { recursive: true });
  });

  it("is replaced while requests go on, and none of them fails", async () => {
    const weights = repository({ 1: first.weights });
    const { registry, classify, health } = start({ weights });
    await registry.load("small");
    const before = await classify();
    copyFileSync(second.weights, join(weights, "1/new.safetensors"));
    rmSync(join(weights, "1/model.safetensors"));
    const answers: number[][] = [];
    let isLoaded = false;
    const requests = (async () => {
      while (!isLoaded) answers.push(await classify());
    })();
    const old = registry.find("small").model;
    await registry.load("small");
    isLoaded = true;
    await requests;
    const after = await classify();
    expect(after).not.toEqual(before);
    const known = [before, after].map((one) => one.join());
    expect(answers.filter((one) => !known.includes(one.join()))).toEqual([]);
    expect(answers.length).toBeGreaterThan(1);
    expect(health.ready().ready).toBe(true);
    await expect.poll(() => old.vgg.isDisposed).toBe(true);
    rmSync(weights, { recursive: true });
  });

  it("stays as it is if its new file cannot be loaded, and the index has the reason", async () => {
    const weights = repository({ 1: first.weights });
    const { registry, classify, health } = start({ weights });
    await registry.load("small");
    const before = await classify();
    writeFileSync(join(weights, "1/model.safetensors"), "damaged");
    await expect(registry.load("small")).rejects.toMatchObject({ status: 400 });
    expect(await classify()).toEqual(before);
    expect(health.ready().ready).toBe(true);
    const [{ state, reason } = { state: "", reason: "" }] = registry.models();
    expect(state).toBe("READY");
    expect(reason).toContain("model.safetensors");
    copyFileSync(second.weights, join(weights, "1/model.safetensors"));
    await registry.load("small");
    expect(registry.models()[0]!.reason).toBe("");
    expect(await classify()).not.toEqual(before);
    rmSync(weights, { recursive: true });
  });

  it("goes first and is not ready during a load, if that is asked for", async () => {
    const { registry, classify, health } = start({ reload: "replace" });
    await registry.load("small");
    const answer = classify();
    const loading = registry.load("small");
    await answer;
    await expect.poll(() => health.ready()).toMatchObject({ ready: false });
    await loading;
    expect(health.ready()).toEqual({ ready: true });
    await classify();
  });

  it("is unloaded when its requests have ended, and loaded again", async () => {
    const { registry, classify, health, engine } = start();
    await registry.load("small");
    const { vgg } = registry.find("small").model;
    const running = classify();
    const unloading = registry.unload("small");
    await running;
    await unloading;
    expect(vgg.isDisposed).toBe(true);
    expect(registry.models()).toEqual([
      { name: "small", version: "1", state: "UNAVAILABLE", reason: "unloaded" },
    ]);
    await expect(classify()).rejects.toMatchObject({
      status: 404,
      message: "Request for unknown model: 'small' has no available versions",
    });
    expect(health.ready().ready).toBe(false);
    expect(engine.statistics.statsOf()).toEqual([]);
    await Promise.all([registry.load("small"), registry.unload("small"), registry.load("small")]);
    await classify();
  });

  it("that cannot be loaded has a reason, and the server is not ready", async () => {
    const { registry, health, classify } = start({ weights: join(first.folder, "absent.pth") });
    await expect(registry.load("small")).rejects.toThrow("ENOENT");
    expect(registry.models()).toMatchObject([{ state: "UNAVAILABLE" }]);
    expect(health.ready()).toEqual({ ready: false, reason: "Model 'small' is not ready" });
    await expect(classify()).rejects.toMatchObject({ status: 503 });
    const folder = join(first.folder, "two");
    mkdirSync(folder);
    for (const name of ["a.pth", "b.pth"]) writeFileSync(join(folder, name), "");
    const two = start({ weights: folder });
    await expect(two.registry.load("small")).rejects.toThrow("but found a.pth, b.pth");
  });
});

describe("a device that is lost", () => {
  const loss = new VggError("DEVICE_LOST", "The GPU stopped");

  it("gives its requests to another one", async () => {
    const { registry, classify, health, lost } = start({ devices: ["cpu", "cpu"] });
    await registry.load("small");
    const { model } = registry.find("small");
    model.replicas[0]!.vgg.classify = async () => {
      throw loss;
    };
    await classify();
    expect(model.replicas.map(({ isLost }) => isLost)).toEqual([true, false]);
    expect([lost, health.ready(), health.live()]).toEqual([[], { ready: true }, true]);
  });

  it("makes the model unready at once, and the server is told, if it was the last", async () => {
    const { registry, classify, health, lost } = start();
    await registry.load("small");
    registry.find("small").model.vgg.classify = async () => {
      throw loss;
    };
    await expect(classify()).rejects.toMatchObject({ status: 503 });
    expect(lost).toEqual(["small"]);
    expect(health.ready().ready).toBe(false);
    expect(registry.models()).toMatchObject([
      { state: "UNAVAILABLE", reason: "cpu stopped after a fatal error" },
    ]);
  });

  it("is replaced by the CPU if that is configured", async () => {
    const { registry, classify, health, lost } = start({ fallback: "cpu" });
    await registry.load("small");
    registry.find("small").model.vgg.classify = async () => {
      throw loss;
    };
    await expect(classify()).rejects.toMatchObject({ status: 503 });
    await expect.poll(() => health.ready(), { timeout: 30_000 }).toEqual({ ready: true });
    await classify();
    expect(lost).toEqual([]);
  });
});
