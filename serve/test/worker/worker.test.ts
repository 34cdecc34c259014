// The worker with a real Redis: results, crashes, back-pressure, jobs that are none, and images that may not be opened.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker as Queues } from "bullmq";
import { Vgg } from "vgg-cudnn";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startWorker, type Worker, type WorkerOptions } from "../../lib/worker/index.ts";
import { fileOf, saveSmallModel } from "../support/small-model.ts";
import { hasRedis, isRequired, RedisServer } from "./redis.ts";

const main = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));

describe.runIf(hasRedis || isRequired)("the worker", () => {
  const server = new RedisServer();
  let saved: Awaited<ReturnType<typeof saveSmallModel>>;
  let model: Vgg;
  beforeAll(async () => {
    await server.start();
    saved = await saveSmallModel();
    model = await Vgg.load(saved.weights, { device: "cpu" });
    mkdirSync(join(saved.folder, "images"));
    for (let number = 0; number < 8; number++)
      writeFileSync(join(saved.folder, "images", `${number}.ppm`), fileOf(number));
    writeFileSync(join(saved.folder, "secret.ppm"), fileOf(1));
  });
  const workers: Worker[] = [];
  const children: ChildProcess[] = [];
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill("SIGKILL");
    for (const worker of workers.splice(0)) await worker.close();
  });
  afterAll(async () => {
    await model?.dispose();
    await server.stop();
    saved?.remove();
  });

  const lines: Record<string, unknown>[] = [];
  const say = (fields: object, message?: string) => void lines.push({ ...fields, message });
  const logger = { info: say, warn: say, error: say };

  /** Starts a worker of this process on a queue, with the queue's name before its results' keys. */
  async function start(queue: string, options: Partial<WorkerOptions> = {}): Promise<Worker> {
    const worker = await startWorker({
      model: { weights: saved.weights, devices: ["cpu"], threads: 2, warmup: false },
      ...{ redis: server.socket, queue, results: { prefix: `${queue}:` }, lockMs: 1000, logger },
      ...options,
    });
    workers.push(worker);
    return worker;
  }

  /** Images whose bytes are in the job: image `number` has the bytes of number modulo 8. */
  const images = (from: number, count: number) =>
    Array.from({ length: count }, (_, index) => ({
      key: String(from + index),
      data: Buffer.from(fileOf((from + index) % 8)).toString("base64"),
    }));

  /** Waits until a queue has as many jobs that ended. */
  const ended = (name: string, count: number) => {
    const queue = server.queue(name);
    return expect
      .poll(async () => queue.getJobCountByTypes("completed", "failed"), { timeout: 120_000 })
      .toBe(count);
  };

  it("writes the classes of each image under its key, in shared runs", async () => {
    const worker = await start("right", { allow: { folders: [join(saved.folder, "images")] } });
    const path = (number: number) => join(saved.folder, "images", `${number}.ppm`);
    await server.queue("right").addBulk([
      { name: "a", data: { images: images(0, 100) } },
      { name: "b", data: { images: [{ key: "file", path: path(3) }] } },
    ]);
    await ended("right", 2);
    const results = await server.results("right:");
    expect(results.size).toBe(101);
    for (const [key, { predictions }] of results) {
      const expected = await model.classify(fileOf(key === "file" ? 3 : Number(key) % 8));
      const given = predictions as typeof expected;
      expect(given.map(({ label }) => label)).toEqual(expected.map(({ label }) => label));
      for (const [rank, { probability }] of given.entries())
        expect(probability).toBeCloseTo(expected[rank]!.probability, 5);
    }
    const { images: done, jobs, runs } = worker.counts;
    expect([done, jobs]).toEqual([101, 2]);
    console.log(`mean batch ${(done / runs).toFixed(1)} of ${done} images`);
    expect(done / runs).toBeGreaterThan(4);
  });

  it("does not run images again that have a result, and lets results expire", async () => {
    const worker = await start("again", { results: { prefix: "again:", expireSeconds: 100 } });
    const queue = server.queue("again");
    await queue.add("a", { images: images(0, 10) });
    await ended("again", 1);
    await queue.add("b", { images: images(5, 10) });
    await ended("again", 2);
    expect(worker.counts).toMatchObject({ images: 15, skippedImages: 5, jobs: 2 });
    expect(await server.redis.ttl("again:3")).toBeGreaterThan(0);
  });

  it("refuses jobs that are none, and goes on", async () => {
    const worker = await start("bad", { limits: { imagesPerJob: 3 } });
    const image = images(0, 1)[0]!;
    const cases: [unknown, string][] = [
      ["text", "Expected an object for job"],
      [[image], "Expected an object for job"],
      [{ images: [image], top: 3 }, 'Expected only images for job but received "top"'],
      [{ images: [] }, "Expected an array of 1 to 3 for images"],
      [{ images: images(0, 4) }, "Expected an array of 1 to 3 for images"],
      [{ images: [{ ...image, size: 1 }] }, 'for images[0] but received "size"'],
      [{ images: [{ data: image.data }] }, "Expected 1 to 512 characters for images[0].key"],
      [
        { images: [{ ...image, key: "a\ud800" }] },
        "Expected well-formed Unicode for images[0].key",
      ],
      [{ images: [image, image] }, "Expected another key for each image for images[1].key"],
      [{ images: [{ ...image, path: "/a" }] }, "Expected one of url, path and data for images[0]"],
      [{ images: [{ key: "a", data: 5 }] }, "Expected a text for images[0].data"],
    ];
    const queue = server.queue("bad");
    const jobs = await Promise.all(cases.map(([data]) => queue.add("bad", data, { attempts: 3 })));
    await queue.add("good", { images: [image] });
    await ended("bad", cases.length + 1);
    for (const [index, [, said]] of cases.entries()) {
      const { failedReason } = (await queue.getJob(jobs[index]!.id!))!;
      expect(failedReason).toMatch(/^JOB_INVALID: /);
      expect(failedReason).toContain(said);
    }
    expect(worker.counts).toMatchObject({ failedJobs: cases.length, jobs: 1, images: 1 });
  });

  it("opens only what the settings allow, and writes failures with their codes", async () => {
    const folder = join(saved.folder, "images");
    symlinkSync(join(saved.folder, "secret.ppm"), join(folder, "link.ppm"));
    symlinkSync(saved.folder, join(folder, "out"));
    let misses = 0;
    const web = createServer((request, response) => {
      if (request.url === "/photos/1.ppm") response.end(fileOf(1));
      else if (request.url === "/photos/away")
        response.writeHead(302, { location: "/secret.ppm" }).end();
      else if (request.url === "/photos/here")
        response.writeHead(302, { location: "/photos/1.ppm" }).end();
      else if (request.url === "/photos/later" && ++misses < 3) response.writeHead(503).end();
      else if (request.url === "/photos/later") response.end(fileOf(2));
      else if (request.url === "/photos/busy") response.writeHead(503).end();
      else if (request.url === "/photos/huge") response.end(Buffer.alloc(200_000));
      else if (request.url === "/secret.ppm") response.end(fileOf(1));
      else response.writeHead(404).end();
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => web.once("listening", resolve));
    const base = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
    await start("allow", {
      allow: { folders: [folder], urls: [`${base}/photos/`] },
      limits: { imageBytes: 100_000 },
    });
    const cases: Record<string, [object, string]> = {
      path: [{ path: join(folder, "1.ppm") }, "done"],
      outside: [{ path: join(saved.folder, "secret.ppm") }, "IMAGE_NOT_ALLOWED"],
      dots: [{ path: `${folder}/../secret.ppm` }, "IMAGE_NOT_ALLOWED"],
      relative: [{ path: "1.ppm" }, "IMAGE_NOT_ALLOWED"],
      zero: [{ path: `${folder}/1.ppm\0` }, "IMAGE_NOT_ALLOWED"],
      beside: [{ path: `${folder}2/1.ppm` }, "IMAGE_NOT_ALLOWED"],
      link: [{ path: join(folder, "link.ppm") }, "IMAGE_NOT_ALLOWED"],
      linked: [{ path: join(folder, "out/secret.ppm") }, "IMAGE_NOT_ALLOWED"],
      missing: [{ path: join(folder, "none.ppm") }, "IMAGE_UNREADABLE"],
      folder: [{ path: folder }, "IMAGE_NOT_ALLOWED"],
      url: [{ url: `${base}/photos/1.ppm` }, "done"],
      here: [{ url: `${base}/photos/here` }, "done"],
      later: [{ url: `${base}/photos/later` }, "done"],
      busy: [{ url: `${base}/photos/busy` }, "IMAGE_UNREADABLE"],
      absent: [{ url: `${base}/photos/404` }, "IMAGE_UNREADABLE"],
      away: [{ url: `${base}/photos/away` }, "IMAGE_NOT_ALLOWED"],
      up: [{ url: `${base}/photos/%2e%2e/secret.ppm` }, "IMAGE_NOT_ALLOWED"],
      slash: [{ url: `${base}/photos/..%2fsecret.ppm` }, "IMAGE_NOT_ALLOWED"],
      user: [{ url: base.replace("//", "//a:b@") }, "IMAGE_NOT_ALLOWED"],
      host: [{ url: "http://127.0.0.2/photos/1.ppm" }, "IMAGE_NOT_ALLOWED"],
      file: [{ url: `file://${folder}/1.ppm` }, "IMAGE_NOT_ALLOWED"],
      none: [{ url: "no address" }, "IMAGE_NOT_ALLOWED"],
      large: [{ url: `${base}/photos/huge` }, "IMAGE_TOO_LARGE"],
      huge: [{ data: "A".repeat(400_000) }, "IMAGE_TOO_LARGE"],
      text: [{ data: "no base64!" }, "IMAGE_FORMAT"],
      other: [{ data: Buffer.from("no image").toString("base64") }, "IMAGE_FORMAT"],
      corrupt: [
        { data: Buffer.from(fileOf(1).subarray(0, 400)).toString("base64") },
        "IMAGE_CORRUPT",
      ],
    };
    const all = Object.entries(cases).map(([key, [image]]) => ({ key, ...image }));
    await server.queue("allow").add("a", { images: all });
    await ended("allow", 1);
    web.close();
    const results = await server.results("allow:");
    const seen = [...results].map(([key, result]) => [
      key,
      "predictions" in result ? "done" : (result.error as { code: string }).code,
    ]);
    expect(Object.fromEntries(seen)).toEqual(
      Object.fromEntries(Object.entries(cases).map(([key, [, code]]) => [key, code])),
    );
    expect(results.get("busy")!.attempts).toBe(3);
    expect(results.get("absent")!.attempts).toBe(1);
  });

  it("takes only as many jobs as fill its runs", async () => {
    const queue = server.queue("pressure");
    const jobs = Array.from({ length: 40 }, (_, job) => ({
      name: "a",
      data: { images: images(job * 10, 10) },
    }));
    await queue.addBulk(jobs);
    const worker = await start("pressure", {
      model: {
        ...{ weights: saved.weights, devices: ["cpu"], threads: 2, warmup: false },
        batching: { maxBatchSize: 4 },
      },
    });
    let most = 0;
    while (worker.counts.jobs < jobs.length) most = Math.max(most, await queue.getActiveCount());
    // Twelve images are under way at most, which two jobs have.
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(3);
    expect((await server.results("pressure:")).size).toBe(400);
  });

  /** Starts `vgg worker` as a process. */
  function spawnWorker(queue: string): ChildProcess {
    const args = ["worker", "--weights", saved.weights, "--device", "cpu", "--queue", queue];
    args.push("--redis", server.socket, "--result-prefix", `${queue}:`, "--lock-ms", "1000");
    const stdio = ["ignore", "ignore", "inherit"] as const;
    const child = spawn(process.execPath, [main, ...args], { stdio: [...stdio] });
    children.push(child);
    return child;
  }
  const ending = (child: ChildProcess) =>
    new Promise<unknown>((resolve) =>
      child.once("exit", (code, signal) => resolve(code ?? signal)),
    );
  const written = (queue: string) => async () => (await server.redis.keys(`${queue}:*`)).length;

  it("takes the jobs of a worker that was killed, and runs only what has no result", async () => {
    const queue = server.queue("killed");
    await queue.addBulk(
      [0, 1, 2].map((job) => ({ name: "a", data: { images: images(job * 200, 200) } })),
    );
    const child = spawnWorker("killed");
    await expect.poll(written("killed"), { timeout: 60_000, interval: 5 }).toBeGreaterThan(20);
    const end = ending(child);
    child.kill("SIGKILL");
    expect(await end).toBe("SIGKILL");
    const before = await written("killed")();
    expect(before).toBeLessThan(600);
    const first = await server.results("killed:");
    const worker = await start("killed");
    await ended("killed", 3);
    const results = await server.results("killed:");
    expect(results.size).toBe(600);
    for (const [key, result] of first) expect(results.get(key)).toEqual(result);
    expect(worker.counts.images).toBe(600 - before);
    expect(await queue.getFailedCount()).toBe(0);
  });

  it("gives up a job whose workers die again and again", async () => {
    const queue = server.queue("stalls");
    const { id } = await queue.add("a", { images: images(0, 2) });
    const options = { connection: server.redis, autorun: false, lockDuration: 500 };
    const dead = new Queues("stalls", null, options);
    expect((await dead.getNextJob("dead"))!.id).toBe(id);
    await dead.close(true);
    await start("stalls", { maxStalls: 0 });
    await ended("stalls", 1);
    expect(await written("stalls")()).toBe(0);
    expect((await queue.getJob(id!))!.failedReason).toMatch(/stalled/);
  });

  it("ends in order on SIGTERM: nothing is lost or run twice", async () => {
    const queue = server.queue("term");
    await queue.addBulk(
      Array.from({ length: 8 }, (_, job) => ({
        name: "a",
        data: { images: images(job * 50, 50) },
      })),
    );
    const child = spawnWorker("term");
    await expect.poll(written("term"), { timeout: 60_000, interval: 5 }).toBeGreaterThan(20);
    const end = ending(child);
    child.kill("SIGTERM");
    expect(await end).toBe(0);
    expect(await queue.getActiveCount()).toBe(0);
    const before = await written("term")();
    expect(before % 50).toBe(0);
    const worker = await start("term");
    await ended("term", 8);
    expect([before + worker.counts.images, await written("term")()]).toEqual([400, 400]);
  });

  it("gives the jobs back that do not end in time", async () => {
    const queue = server.queue("late");
    await queue.add("a", { images: images(0, 300) });
    const worker = await start("late", { shutdownMs: 0 });
    await expect
      .poll(() => worker.counts.images, { timeout: 60_000, interval: 2 })
      .toBeGreaterThan(0);
    await worker.close();
    expect(worker.counts.releasedJobs).toBe(1);
    expect([await queue.getWaitingCount(), await queue.getActiveCount()]).toEqual([1, 0]);
    const before = await written("late")();
    const next = await start("late");
    await ended("late", 1);
    expect([await written("late")(), before + next.counts.images]).toEqual([300, 300]);
  });

  it("goes on when Redis is killed under load and comes back", async () => {
    const queue = server.queue("restart");
    await queue.addBulk(
      Array.from({ length: 10 }, (_, job) => ({
        name: "a",
        data: { images: images(job * 80, 80) },
      })),
    );
    const worker = await start("restart");
    await expect
      .poll(() => worker.counts.images, { timeout: 60_000, interval: 2 })
      .toBeGreaterThan(20);
    await server.kill();
    await server.start();
    await ended("restart", 10);
    expect((await server.results("restart:")).size).toBe(800);
    expect(await queue.getFailedCount()).toBe(0);
  });

  it("has metrics", async () => {
    const worker = await start("metrics", { metrics: { port: 0 } });
    await server.queue("metrics").add("a", { images: images(0, 4) });
    await ended("metrics", 1);
    const url = `http://127.0.0.1:${worker.metricsAddress!.port}/metrics`;
    const text = await (await fetch(url)).text();
    expect(text).toContain('vgg_worker_images_total{outcome="done"} 4\n');
    expect(text).toContain('vgg_worker_jobs_total{outcome="completed"} 1\n');
    expect(text).toContain("vgg_worker_images_under_way 0\n");
  });
});
