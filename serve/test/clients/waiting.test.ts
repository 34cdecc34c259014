// Calls 15, 16 and 18: deadlines, cancels and clients that leave a busy server.
import { readFileSync } from "node:fs";
import { describe, expect, inject, it } from "vitest";
import { photos } from "./images.ts";
import { has, python } from "./programs.ts";
import { readMetrics, until } from "./server.ts";

describe.runIf(has("python"))("on a busy server", () => {
  const shared = inject("shared");
  const images = photos.slice(0, 1);

  /** The images of one request that makes the server busy, and the requests at one time. */
  const size = 16;
  const atOnce = 3;

  async function send(): Promise<void> {
    const bytes = size * 3 * 224 * 224 * 4;
    const input = { name: "input", shape: [size, 3, 224, 224], datatype: "FP32" };
    const head = JSON.stringify({
      inputs: [{ ...input, parameters: { binary_data_size: bytes } }],
      parameters: { binary_data_output: true },
    });
    const image = readFileSync(shared.x);
    const answer = await fetch(`http://${shared.server.http}/v2/models/vgg11/infer`, {
      method: "POST",
      headers: { "Inference-Header-Content-Length": String(head.length) },
      body: Buffer.concat([Buffer.from(head), ...Array.from({ length: size }, () => image)]),
    });
    expect([answer.status, (await answer.arrayBuffer()).byteLength]).toEqual([
      200,
      Number(answer.headers.get("inference-header-content-length")) + size * 4000,
    ]);
  }

  /** Makes the server busy with tensors. @returns what ends that and gives the number of their images */
  async function occupy(): Promise<() => Promise<number>> {
    let isOver = false;
    let sent = 0;
    const worker = async () => {
      while (!isOver) {
        sent += size;
        await send();
      }
    };
    const all = Promise.all(Array.from({ length: atOnce }, worker));
    const isWaiting = async () =>
      (await readMetrics(shared.server))("vgg_waiting_images", 'model="vgg11"') > size;
    await until(isWaiting, "images that wait");
    return async () => {
      isOver = true;
      await all;
      return sent;
    };
  }

  /** What a model has done since a time: images and runs of requests that succeeded, and failures by reason. */
  async function counter() {
    const read = async () => {
      const metric = await readMetrics(shared.server);
      const of = (name: string, ...more: string[]) => metric(name, 'model="vgg11"', ...more);
      const failed = (reason: string) => of("nv_inference_request_failure", `reason="${reason}"`);
      return {
        images: of("nv_inference_count"),
        rejected: failed("REJECTED"),
        canceled: failed("CANCELED"),
        waiting: of("vgg_waiting_images"),
      };
    };
    const before = await read();
    return async () => {
      const now = await read();
      return {
        images: now.images - before.images,
        rejected: now.rejected - before.rejected,
        canceled: now.canceled - before.canceled,
        waiting: now.waiting,
      };
    };
  }

  /** The runs of one image, as the statistics have them. */
  async function runsOfOne(): Promise<number> {
    const answer = await fetch(`http://${shared.server.http}/v2/models/vgg11/stats`);
    const { model_stats } = (await answer.json()) as {
      model_stats: [{ batch_stats: { batch_size: number; compute_infer: { count: number } }[] }];
    };
    const found = model_stats[0].batch_stats.find(({ batch_size }) => batch_size === 1);
    return found?.compute_infer.count ?? 0;
  }

  /** The device is busy with tensors still, whose runs have even sizes. */
  const expectOnlyTensors = (waiting: number) => {
    expect(waiting).toBeGreaterThan(0);
    expect(waiting % 2).toBe(0);
  };

  it("15: refuses a request at once whose deadline cannot be met", async () => {
    const since = await counter();
    const finish = await occupy();
    const [refused] = await python("triton_grpc", "late", { url: shared.server.grpc, images });
    expect(refused.status).toBe("StatusCode.DEADLINE_EXCEEDED");
    const { rejected, waiting } = await since();
    expect(rejected).toBe(1);
    expectOnlyTensors(waiting);
    const sent = await finish();
    expect(await since()).toEqual({ images: sent, rejected: 1, canceled: 0, waiting: 0 });
  });

  it("16: takes canceled and late calls out of the queue, so that they never run", async () => {
    const since = await counter();
    const single = await runsOfOne();
    const finish = await occupy();
    const [canceled, late, later] = await python("triton_grpc", "leave", {
      url: shared.server.grpc,
      images,
    });
    expect(canceled.status).toBe("StatusCode.CANCELLED");
    expect(late.status).toBe("StatusCode.DEADLINE_EXCEEDED");
    expect(later.status).toBe("StatusCode.DEADLINE_EXCEEDED");
    expectOnlyTensors((await since()).waiting);
    const sent = await finish();
    const { images: ran, canceled: left, rejected } = await since();
    expect(ran).toBe(sent);
    expect(left).toBeGreaterThanOrEqual(1);
    // The call of 1 ms may end before it is sent.
    expect(left + rejected).toBeGreaterThanOrEqual(2);
    expect(await runsOfOne()).toBe(single);
  });

  it("18: takes a request out of the queue when its client leaves", async () => {
    const since = await counter();
    const finish = await occupy();
    const given = { url: shared.server.http, images, seconds: 0.05 };
    const [left] = await python("triton_http", "leave", given);
    expect(left.text).toMatch(/timed? ?out/i);
    await until(async () => (await since()).canceled === 1, "the record of the client that left");
    expectOnlyTensors((await since()).waiting);
    const sent = await finish();
    expect(await since()).toEqual({ images: sent, rejected: 0, canceled: 1, waiting: 0 });
  });
});
