// Calls 10, 12 and 13: large requests, and images by curl.
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, inject, it } from "vitest";
import { classesOf } from "./expected.ts";
import { photos } from "./images.ts";
import { has, hasCurl, python, run } from "./programs.ts";

const shared = inject("shared");
const url = shared?.server.http;

describe.runIf(has("python"))("tritonclient", () => {
  it("10: sends 64 tensors in one request, over REST and gRPC", async () => {
    const { server, x } = shared;
    const given = { x, images: 64 };
    const [one] = await python("triton_http", "probabilities", { url, x, binary: true });
    // One after the other: two of them are more than the queue takes.
    const [http] = await python("triton_http", "large", { url: server.http, ...given });
    const [grpc] = await python("triton_grpc", "large", { url: server.grpc, ...given });
    for (const { shape, rows } of [http, grpc]) {
      expect(shape).toEqual([64, 1000]);
      for (const row of rows)
        for (const [at, value] of row.entries())
          expect(Math.abs(value - one.values[0][at])).toBeLessThan(1e-6);
    }
  });
});

describe.runIf(has("python") && hasCurl())("curl", () => {
  /** The status, the media type and the uploaded bytes of a call, and its body. */
  async function curl(...args: string[]) {
    const body = join(shared.folder, "answer");
    const format = '{"status":%{http_code},"type":"%{content_type}","sent":%{size_upload}}';
    const said = await run("curl", "-sS", "-o", body, "-w", format, ...args);
    return { ...JSON.parse(said), body: await run("cat", body) };
  }

  it("12: hears 413 before it uploads a body that is too large", async () => {
    const large = join(shared.folder, "large");
    writeFileSync(large, "");
    truncateSync(large, 65 * 2 ** 20);
    const { status, sent, body } = await curl(
      ...["-H", "Expect: 100-continue", "--expect100-timeout", "20"],
      ...["-H", "Inference-Header-Content-Length: 100"],
      ...["--data-binary", `@${large}`, `http://${url}/v2/models/vgg11/infer`],
    );
    expect([status, sent]).toEqual([413, 0]);
    expect(JSON.parse(body).error).toContain("67108864 bytes");
  });

  it("13: sends an image as a raw request, by its media type, and in a form", async () => {
    const image = photos[0]!;
    const raw = await curl(
      ...["-H", "Inference-Header-Content-Length: 0", "--data-binary", `@${image}`],
      `http://${url}/v2/models/vgg11/infer`,
    );
    expect([raw.status, raw.type]).toEqual([200, "application/octet-stream"]);
    expect(raw.body).toContain('"binary_data_size":4000');
    const [expected] = classesOf([image]);
    const typed = ["-H", "Content-Type: image/jpeg", "--data-binary", `@${image}`];
    const form = ["-F", `image=@${image}`];
    for (const args of [typed, form]) {
      const { status, body } = await curl(...args, `http://${url}/classify?model=vgg11&top=5`);
      expect(status).toBe(200);
      const parsed = JSON.parse(body);
      const found = args === form ? parsed[0] : parsed;
      expect(
        found.map(({ index, label }: { index: number; label: string }) => [index, label]),
      ).toEqual(expected!.map(({ index, label }) => [index, label]));
      for (const [at, { probability }] of expected!.entries())
        expect(Math.abs(found[at].probability - probability)).toBeLessThan(2e-6);
    }
  });
});
