// Vgg.load's onProgress: the bytes of a download, then the bytes of the file as it is read.
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { type Progress, Vgg } from "../../lib/index.ts";
import { weightsTable } from "../../lib/vgg/known-weights.ts";
import { testDevice } from "../support/devices.ts";
import { content, folder, server, weights } from "../support/hub-server.ts";
import { small } from "../support/small-models.ts";

describe("onProgress of Vgg.load", () => {
  it("hears of the download of published weights", async () => {
    const before = weightsTable.vgg11;
    Object.assign(weightsTable, { vgg11: weights });
    vi.stubEnv("VGG_WEIGHTS_MIRROR", server.url);
    vi.stubEnv("XDG_CACHE_HOME", folder);
    const seen: Progress[] = [];
    const onProgress = (progress: Progress) => void seen.push(progress);
    try {
      const load = () => Vgg.load("vgg11", "DEFAULT", { device: testDevice, onProgress });
      // The bytes of the test are no weights, which is found when they are here.
      await expect(load()).rejects.toMatchObject({ code: "CHECKPOINT_FORMAT" });
      expect(seen.at(-1)).toEqual({ receivedBytes: content.length, totalBytes: content.length });
      seen.length = 0;
      await expect(load()).rejects.toMatchObject({ code: "CHECKPOINT_FORMAT" });
      expect(seen).toEqual([]);
    } finally {
      Object.assign(weightsTable, { vgg11: before });
    }
  });

  it("hears of all bytes of a network with counters in the end", async () => {
    const path = join(folder, "counters.safetensors");
    await using model = await Vgg.create("vgg11_bn", { ...small, seed: 1 });
    await model.save(path);
    let last: Progress | undefined;
    const onProgress = (progress: Progress) => {
      last = progress;
    };
    await using _ = await Vgg.load(path, { device: testDevice, onProgress });
    expect(last?.receivedBytes).toBe(last?.totalBytes);
    expect(last?.totalBytes).toBeGreaterThan(4 * model.parameterCount);
  });

  it("hears of the bytes that are read, and its error ends the load", async () => {
    const path = join(folder, "model.safetensors");
    await using model = await Vgg.create("vgg11", { ...small, seed: 1 });
    await model.save(path);
    const seen: Progress[] = [];
    const options = { device: testDevice, onProgress: (p: Progress) => void seen.push(p) };
    await using loaded = await Vgg.load(path, options);
    const totalBytes = 4 * loaded.parameterCount;
    expect(seen.every((p) => p.isReading && p.totalBytes === totalBytes)).toBe(true);
    expect(seen.at(-1)!.receivedBytes).toBe(totalBytes);
    expect(seen.length).toBeGreaterThan(20);
    const onProgress = () => {
      throw new Error("no more");
    };
    await expect(Vgg.load(path, { device: testDevice, onProgress })).rejects.toThrow("no more");
  });
});
