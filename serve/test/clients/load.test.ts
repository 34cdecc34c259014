// Calls 23 and 24: many callers, and more requests than the server can do.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { has, python } from "./programs.ts";
import { classify, type Running, readMetrics, start } from "./server.ts";
import { attack, quantile } from "./vegeta.ts";

const shared = inject("shared");

describe.runIf(has("python"))("64 callers at the same time", () => {
  let expected: string[];
  beforeAll(() => {
    const results = classify(shared.weights.small, shared.patterns, 1);
    expected = results.map(([best]) => `${best!.index}:${best!.label}`);
    // Each image has a class of its own, so that each exchange of two answers is seen.
    expect(new Set(expected).size).toBe(64);
  });

  it.each(["http", "grpc"] as const)(
    "23: get the class of their own image over %s, and share runs",
    async (protocol) => {
      const before = await readMetrics(shared.server);
      // Each caller sends four images, so that most of the time all 64 wait.
      const images = [1, 2, 3, 4].flatMap(() => shared.patterns);
      const given = { url: shared.server[protocol], images, callers: 64 };
      const lines = await python(`triton_${protocol}`, "many", given);
      lines.sort((a, b) => a.index - b.index);
      const found = lines.map(({ classes }) => classes[0][0].split(":").slice(1).join(":"));
      expect(found).toEqual([1, 2, 3, 4].flatMap(() => expected));
      const after = await readMetrics(shared.server);
      const rise = (name: string) => after(name, 'model="small"') - before(name, 'model="small"');
      expect(rise("nv_inference_count")).toBe(256);
      expect(256 / rise("nv_inference_exec_count")).toBeGreaterThan(3);
    },
  );
});

describe.runIf(has("python", "vegeta"))("more requests than the server can do", () => {
  const seconds = 20;
  const maxQueueSize = 64;
  let server: Running;
  beforeAll(async () => {
    server = await start(["--config", shared.queue, "--drain-ms", "0"]);
  });
  afterAll(() => server?.stop());

  const load = (rate: number, time: number, workers?: number) =>
    attack(server.http, shared.patterns, shared.folder, {
      ...{ rate, seconds: time },
      ...(workers !== undefined && { workers }),
    });

  /** The time of one request, in ms, that must succeed. */
  async function one(): Promise<number> {
    const begin = performance.now();
    const answer = await fetch(`http://${server.http}/classify?top=1`, {
      method: "POST",
      body: readFileSync(shared.patterns[0]!),
    });
    await answer.arrayBuffer();
    return answer.status === 200 ? performance.now() - begin : Number.POSITIVE_INFINITY;
  }

  /** Reads memory and the delay of the event loop again and again, until it is told to end. */
  function watch() {
    let isOver = false;
    const samples: { bytes: number; delay: number }[] = [];
    const done = (async () => {
      while (!isOver) {
        await new Promise((resolve) => setTimeout(resolve, 250));
        const metric = await readMetrics(server);
        const delay = metric("vgg_event_loop_delay_seconds", 'quantile="0.99"');
        samples.push({ bytes: metric("vgg_process_resident_bytes"), delay });
      }
    })();
    return async () => {
      isOver = true;
      await done;
      return samples;
    };
  }

  it("24: are answered or refused with Retry-After, and the server is calm again after them", async () => {
    const alone: number[] = [];
    for (let times = 0; times < 10; times++) alone.push(await one());
    const measured = await load(0, 4, 16);
    expect(measured.every(({ code }) => code === 200)).toBe(true);
    const last = Math.max(...measured.map(({ sentMs, latencyMs }) => sentMs + latencyMs));
    const perSecond = measured.length / ((last - measured[0]!.sentMs) / 1000);
    const end = watch();
    const under = load(Math.round(2 * perSecond), seconds);
    const calmMs = await new Promise<number>((resolve, reject) => {
      setTimeout(async () => {
        const begin = performance.now();
        for (;;) {
          const ms = await one();
          const passed = performance.now() - begin;
          if (ms < 3 * quantile(alone, 0.5)) return resolve(passed - ms);
          if (passed > 60_000) return reject(new Error("the server is not calm after 60 s"));
        }
      }, seconds * 1000);
    });
    const hits = await under;
    const samples = await end();
    const answered = hits.filter(({ code }) => code === 200);
    const refused = hits.filter(({ code }) => code === 503);
    // A request may wait behind a full queue and a run, at the rate that is left in the overload.
    const boundMs = (1000 * (maxQueueSize + 8) * seconds) / answered.length;
    const p99 = quantile(
      answered.map(({ latencyMs }) => latencyMs),
      0.99,
    );
    console.log(
      `capacity ${perSecond.toFixed(0)}/s, ${answered.length} answered with p99 ${p99.toFixed(0)} ms, ` +
        `${refused.length} refused, bound ${boundMs.toFixed(0)} ms, calm after ${calmMs.toFixed(0)} ms`,
    );
    expect(hits.length).toBeGreaterThan(1.8 * perSecond * seconds);
    expect(answered.length + refused.length).toBe(hits.length);
    expect(refused.length).toBeGreaterThan(0);
    for (const { headers, body } of refused) {
      expect(headers["Retry-After"]?.[0]).toMatch(/^[1-9]\d*$/);
      expect(JSON.parse(body).error).toContain("Exceeds maximum queue size");
    }
    // Overload takes little from what the server does.
    expect(answered.length).toBeGreaterThan(0.5 * perSecond * seconds);
    // Without other work p99 is 1.3 times the bound. Other work of the machine may double it.
    expect(p99).toBeLessThan(4 * boundMs);
    expect(calmMs).toBeLessThan(4 * boundMs);
    const part = (from: number, to: number, pick: "bytes" | "delay") => {
      const [first, past] = [from, to].map((share) => Math.floor(share * samples.length));
      return quantile(
        samples.slice(first, past).map((sample) => sample[pick]),
        0.5,
      );
    };
    expect(part(0.75, 1, "bytes") / part(0.25, 0.5, "bytes")).toBeLessThan(1.15);
    // The clock of the delay has steps of 10 ms.
    expect(part(0.75, 1, "delay") / (part(0.25, 0.5, "delay") + 0.01)).toBeLessThan(3);
  });
});
