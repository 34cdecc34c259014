// The server that most calls share: VGG11 with 1000 classes, and a small network. It starts once.
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tensor } from "vgg-cudnn";
import type { TestProject } from "vitest/node";
import { photos, writePatterns } from "./images.ts";
import { small, vgg11 } from "./models.ts";
import { type Addresses, classify, start } from "./server.ts";
import { isThere } from "./tools.mjs";

/** What all tests know. */
export interface Shared {
  readonly server: Addresses;
  /** Files of the networks. */
  readonly weights: { readonly vgg11: string; readonly small: string };
  /** What `vgg classify` says of the real images with VGG11: the five best classes. */
  readonly classes: ReturnType<typeof classify>;
  /** Paths of images that the small network tells apart. */
  readonly patterns: readonly string[];
  /** A file of float32 with one normalised image of [3,224,224]. */
  readonly x: string;
  /** A configuration of the small network with a queue of 64 images. */
  readonly queue: string;
  /** A folder for what tests write. */
  readonly folder: string;
  /** The token that may load models. */
  readonly admin: string;
}

declare module "vitest" {
  interface ProvidedContext {
    shared: Shared;
  }
}

export default async function setup(project: TestProject): Promise<(() => Promise<void>) | void> {
  // Nothing is there: the tests say so, each for itself.
  if (!isThere("python")) return;
  const folder = mkdtempSync(join(tmpdir(), "vgg-clients-"));
  const patterns = writePatterns(folder);
  const weights = { vgg11: await vgg11(), small: await small(patterns) };
  const x = join(folder, "x");
  writeFileSync(x, Tensor.randn([3, 224, 224], 7).data as Float32Array);
  const admin = "admin-of-the-tests";
  const digest = createHash("sha256").update(admin).digest("hex");
  const cpu = { devices: ["cpu"], batching: { maxBatchSize: 8 } };
  const config = {
    models: {
      vgg11: { ...cpu, weights: weights.vgg11 },
      small: { ...cpu, weights: weights.small },
    },
    access: { admin: [`sha256:${digest}`] },
    drainMs: 0,
  };
  const path = join(folder, "serve.json");
  writeFileSync(path, JSON.stringify(config));
  const queue = join(folder, "queue.json");
  const batching = { maxBatchSize: 8, maxQueueSize: 64 };
  const queued = { models: { small: { ...cpu, weights: weights.small, batching } } };
  writeFileSync(queue, JSON.stringify(queued));
  const server = await start(["--config", path]);
  const { http, grpc, metrics } = server;
  const classes = classify(weights.vgg11, photos, 5);
  project.provide("shared", {
    ...{ server: { http, grpc, metrics }, weights, classes, patterns, x, queue, folder, admin },
  });
  return async () => {
    const status = await server.stop();
    rmSync(folder, { recursive: true });
    if (status !== 0) throw new Error(`the server has ended with ${status}: ${server.said()}`);
  };
}
