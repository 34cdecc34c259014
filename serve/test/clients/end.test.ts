// Call 25: the end of a server under load, by a signal and by a GPU that is lost.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, inject, it } from "vitest";
import { fakeGpu, hasFakeGpu } from "./fake-gpu.ts";
import { has, pythonUnderWay } from "./programs.ts";
import { classify, start, until } from "./server.ts";
import { attack } from "./vegeta.ts";

const shared = inject("shared");

describe.runIf(has("python", "vegeta"))("a signal under load", () => {
  const drainMs = 1000;

  it("25: fails no request before the listeners close, and the server exits with 0", async () => {
    const server = await start([
      ...["--model", `small=${shared.weights.small}`, "--device", "cpu", "--max-batch-size", "8"],
      ...["--drain-ms", `${drainMs}`],
    ]);
    const images = shared.patterns;
    const callers = 4;
    const grpc = await pythonUnderWay("triton_grpc", "loop", { url: server.grpc, images, callers });
    const rest = attack(server.http, images, shared.folder, { rate: 30, seconds: 4 });
    await sleep(1000);
    const signalMs = Date.now();
    expect(await server.stop()).toBe(0);
    const closedMs = signalMs + drainMs;

    const hits = await rest;
    const failed = hits.filter(({ code }) => code !== 200);
    const served = hits.filter(({ code }) => code === 200);
    expect(served.some(({ sentMs }) => sentMs > signalMs)).toBe(true);
    expect(failed.length).toBeGreaterThan(0);
    for (const { code, error, sentMs } of failed) {
      expect([code, error]).toEqual([0, expect.stringContaining("connection refused")]);
      expect(sentMs).toBeGreaterThanOrEqual(closedMs - 50);
    }

    const [{ ok, failures }] = await grpc.rest();
    expect(ok).toBeGreaterThan(callers);
    expect(failures.length).toBe(callers);
    for (const [seconds, status] of failures) {
      expect(status).toBe("StatusCode.UNAVAILABLE");
      expect(1000 * seconds).toBeGreaterThanOrEqual(closedMs - 50);
    }
  });
});

describe.runIf(has("python") && hasFakeGpu())("a GPU that is lost under load", () => {
  it("25: makes the server not ready within 100 ms and ends it with 1; a new one serves", async () => {
    const [image] = shared.patterns;
    const { label } = classify(shared.weights.small, [image!], 1)[0]![0]!;
    const gpu = fakeGpu(shared.folder);
    const config = join(shared.folder, "gpu.json");
    // A run takes the fake GPU half a second, so that it does without a warm-up.
    const small = { weights: shared.weights.small, devices: ["cuda:0"], warmup: false };
    const models = { small: { ...small, batching: { maxBatchSize: 2 } } };
    writeFileSync(config, JSON.stringify({ models, drainMs: 1000 }));
    const args = ["--config", config];
    const server = await start(args, gpu.env);
    const body = readFileSync(image!);
    const ask = async (url: string) => {
      const answer = await fetch(`http://${url}/classify?top=1`, { method: "POST", body });
      return { status: answer.status, found: await answer.json() };
    };
    expect(await ask(server.http)).toMatchObject({
      status: 200,
      found: [{ label }],
    });

    const statuses = new Map<number, number>();
    const callers = Array.from({ length: 4 }, async () => {
      for (;;) {
        const answer = await ask(server.http).catch(() => undefined);
        // The server has ended.
        if (answer === undefined) return;
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
        if (answer.status !== 200) await sleep(20);
      }
    });
    let lostMs = Number.POSITIVE_INFINITY;
    const probes: { sentMs: number; status: number }[] = [];
    const prober = (async () => {
      for (;;) {
        if (gpu.isLost) lostMs = Math.min(lostMs, performance.now());
        const sentMs = performance.now();
        const answer = await fetch(`http://${server.http}/v2/health/ready`).catch(() => undefined);
        if (answer === undefined) return;
        await answer.arrayBuffer();
        probes.push({ sentMs, status: answer.status });
        await sleep(1);
      }
    })();
    await until(() => (statuses.get(200) ?? 0) >= 2, "answers of the GPU");
    while (!gpu.isLost) {
      gpu.breakSoon();
      await sleep(5);
    }
    expect(await server.ended).toBe(1);
    await Promise.all([...callers, prober]);
    const first = probes.find(({ status }) => status === 503);
    console.log(`not ready ${(first!.sentMs - lostMs).toFixed(0)} ms after the loss`);
    const late = probes.filter(({ sentMs }) => sentMs > lostMs + 100);
    expect(late.length).toBeGreaterThan(0);
    expect(late.every(({ status }) => status === 503)).toBe(true);
    expect([...statuses.keys()].sort()).toEqual([200, 503]);
    expect(server.said()).toContain("small has lost its last device");

    gpu.repair();
    const next = await start(args, gpu.env);
    expect(await ask(next.http)).toMatchObject({ status: 200, found: [{ label }] });
    expect(await next.stop()).toBe(0);
    gpu.close();
  });
});
