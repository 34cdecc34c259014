// REST with a real network: it answers as the library does, and bad input never gets 500.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import sharp from "sharp";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Access } from "../../lib/access/access.ts";
import { httpApp } from "../../lib/http/app.ts";
import { listenerOf } from "../../lib/http/listener.ts";
import { count, damaged, forEach, randomOf, seed } from "../support/damage.ts";
import { fileOf, labels, pixelsOf, side, useSmallModel } from "../support/small-model.ts";

const small = useSmallModel();
let server: Server;
let url: string;
const defects: unknown[] = [];

beforeAll(async () => {
  const app = httpApp({
    engine: small.engine,
    access: new Access(),
    limits: {
      bodyBytes: 2 ** 24,
      heldBytes: 2 ** 26,
      jsonTensorBytes: 2 ** 20,
      imagesPerRequest: 8,
    },
    server: { name: "test", version: "0" },
    onDefect: (error) => defects.push(error),
  });
  server = createServer(listenerOf(app, true));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => void server?.close());

const post = async (path: string, body: unknown, headers: Record<string, string> = {}) => {
  const isBytes = body instanceof Uint8Array;
  const response = await fetch(url + path, {
    method: "POST",
    body: isBytes ? (body as Uint8Array<ArrayBuffer>) : JSON.stringify(body),
    headers: isBytes ? headers : { "Content-Type": "application/json", ...headers },
  });
  return response;
};
// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any form.
const jsonOf = async (response: Response): Promise<any> => response.json();
const dataUrl = (number: number) =>
  `data:;base64,${Buffer.from(fileOf(number)).toString("base64")}`;
const infer = "/v2/models/small/infer";

it("classifies as the library does", async () => {
  const response = await post("/classify?top=3", fileOf(1));
  const expected = await small.model.classify(Buffer.from(fileOf(1)), { top: 3 });
  expect(await jsonOf(response)).toEqual(
    expected.map((one) => ({ ...one, probability: expect.closeTo(one.probability, 5) })),
  );
  const many = await post("/classify?top=1", [1, 2, 3].map(dataUrl));
  const each = await Promise.all(
    [1, 2, 3].map((n) => small.model.classify(Buffer.from(fileOf(n)), { top: 1 })),
  );
  expect((await jsonOf(many)).map(([best]: [{ index: number }]) => best.index)).toEqual(
    each.map(([best]) => best!.index),
  );
});

it("embeds as the library does", async () => {
  const response = await post("/embed?layer=features&pool=mean&normalize=true", fileOf(1), {
    Accept: "application/octet-stream",
  });
  const expected = await small.model.embed(Buffer.from(fileOf(1)), {
    layer: "features",
    pool: "mean",
    normalize: true,
  });
  expect(response.headers.get("tensor-shape")).toBe(expected.shape.join(","));
  const values = new Float32Array(await response.arrayBuffer());
  expect(Math.max(...values.map((value, i) => Math.abs(value - expected.data[i]!)))).toBeLessThan(
    1e-5,
  );
});

it("infers from files, base64 and pixels alike", async () => {
  const classification = { name: "probabilities", parameters: { classification: 2 } };
  const inputs = [
    { name: "image", datatype: "BYTES", shape: [1, 1], data: [dataUrl(2)] },
    {
      name: "image",
      datatype: "BYTES",
      shape: [1],
      data: [Buffer.from(fileOf(2)).toString("base64")],
      parameters: { content_type: "base64" },
    },
    { name: "pixels", datatype: "UINT8", shape: [1, side, side, 3], data: [...pixelsOf(2)] },
  ];
  const answers = await Promise.all(
    inputs.map(async (input) => {
      const response = await post(infer, { inputs: [input], outputs: [classification] });
      return (await jsonOf(response)).outputs[0];
    }),
  );
  for (const answer of answers) expect(answer).toEqual(answers[0]);
  expect(answers[0].shape).toEqual([1, 2]);
  const [best] = await small.model.classify(Buffer.from(fileOf(2)), { top: 1 });
  expect(answers[0].data[0]).toMatch(
    new RegExp(`^0\\.\\d{6}:${best!.index}:${labels[best!.index]}$`),
  );
});

it("takes a raw file, and gives every class as bytes", async () => {
  const response = await post(infer, fileOf(3), { "Inference-Header-Content-Length": "0" });
  const bytes = Buffer.from(await response.arrayBuffer());
  const length = Number(response.headers.get("inference-header-content-length"));
  const values = Array.from({ length: labels.length }, (_, i) => bytes.readFloatLE(length + 4 * i));
  expect(values.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
});

it.each([
  ["/classify", "text, and no image", 400],
  ["/classify?top=11", 1, 200],
  ["/classify?priority=99", 1, 200],
  ["/classify?timeoutMs=999999999", 1, 200],
  ["/classify?model=nope", 1, 404],
  ["/classify?version=2", 1, 404],
  ["/classify?version=x", 1, 404],
  ["/embed?layer=nope", 1, 400],
  ["/embed?layer=__proto__", 1, 400],
  ["/embed?pool=mean", 1, 200],
  ["/embed?layer=classifier", 1, 200],
])("answers %s", async (path, image, status) => {
  const body = typeof image === "string" ? Buffer.from(image) : fileOf(image);
  const response = await post(path, body);
  expect([response.status, typeof (await jsonOf(response)).error]).toEqual([
    status,
    status === 200 ? "undefined" : "string",
  ]);
});

it.each([
  [{}, [{ name: "nope" }]],
  [{}, [{ name: "features.99" }]],
  [{ shape: [2] }, []],
  [{ shape: [1, 1, 1] }, []],
  [{ shape: [0], data: [] }, []],
  [{ datatype: "FP32", data: [1] }, []],
  [{ name: "other" }, []],
  [{ name: "input", datatype: "FP32", shape: [1, 3, 1, 1], data: [1, 2, 3] }, []],
  [{ name: "pixels", datatype: "UINT8", shape: [1, 1, 1, 3], data: [1, 2, 3] }, []],
  [{ data: ["http://localhost/x.png"] }, []],
  [{ data: ["/etc/passwd"] }, []],
  [{ data: ["@@@"], parameters: { content_type: "base64" } }, []],
])("refuses the input %j with outputs %j", async (input, outputs) => {
  const usual = { name: "image", datatype: "BYTES", shape: [1], data: [dataUrl(1)] };
  const response = await post(infer, { inputs: [{ ...usual, ...input }], outputs });
  expect(response.status).toBe(400);
  expect((await jsonOf(response)).error).toMatch(/./);
  expect(defects).toEqual([]);
});

it("answers damaged images with 200, 400 or 413", async () => {
  const pixels = sharp(pixelsOf(1), { raw: { width: side, height: side, channels: 3 } });
  const formats = ["jpeg", "png", "webp", "gif", "tiff", "avif"] as const;
  const files = await Promise.all(
    formats.map((format) => pixels.clone().toFormat(format).toBuffer()),
  );
  const seen = new Map<number, number>();
  await forEach(count / 4, async (index) => {
    const image = damaged(files[index % files.length]!, randomOf(seed * 3e6 + index));
    const { status } = await post("/classify?top=1", image);
    expect([200, 400, 413], `image ${index} of seed ${seed}`).toContain(status);
    seen.set(status, (seen.get(status) ?? 0) + 1);
  });
  expect(defects).toEqual([]);
  expect([...seen.keys()].sort()).toEqual(expect.arrayContaining([200, 400]));
});
