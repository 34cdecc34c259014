// Requests with random damage: each gets an answer of the table, never a 500, and no connection hangs.
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, it } from "vitest";
import { bytesOfElements } from "../../lib/protocol/tensors.ts";
import { count, damaged, forEach, randomOf, seed } from "../support/damage.ts";
import { receive, startServer, type TestServer } from "./server.ts";

const jpeg = Buffer.concat([Buffer.from("ffd8ffe0", "hex"), Buffer.alloc(60, 7)]);
const element = Buffer.from(bytesOfElements([jpeg]));
const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const image = { name: "image", shape: [1, 1], datatype: "BYTES" };
const head = json({
  id: "1",
  parameters: { priority: 1, timeout: 5_000_000, binary_data_output: true },
  inputs: [{ ...image, parameters: { binary_data_size: element.length } }],
  outputs: [{ name: "probabilities", parameters: { classification: 3, binary_data: true } }],
});
const numbers = [
  [0.5, -1, 1e3],
  [2, 3, 4],
];
const infer = "/v2/models/vgg11/infer";
const length = { "Inference-Header-Content-Length": String(head.length) };
const whole = Buffer.concat([head, element]);
const form = Buffer.concat([
  Buffer.from('--b\r\nContent-Disposition: form-data; name="a"; filename="x"\r\n\r\n'),
  jpeg,
  Buffer.from("\r\n--b--\r\n"),
]);
const url = `data:image/jpeg;base64,${jpeg.toString("base64")}`;

/** Good requests: path, headers, body. */
const good: readonly (readonly [string, Record<string, string>, Buffer])[] = [
  [
    infer,
    {},
    json({ inputs: [{ name: "input", shape: [2, 3], datatype: "FP32", data: numbers }] }),
  ],
  [
    infer,
    {},
    json({ inputs: [{ ...image, parameters: { content_type: "base64" }, data: ["/9j/"] }] }),
  ],
  [infer, {}, json({ inputs: [{ ...image, data: [url] }], outputs: [{ name: "logits" }] })],
  [infer, length, whole],
  [infer, { ...length, "Content-Encoding": "gzip" }, gzipSync(whole)],
  [infer, { "Inference-Header-Content-Length": "0", "Accept-Encoding": "gzip" }, jpeg],
  [infer, { "Content-Type": "image/jpeg" }, jpeg],
  ["/classify?top=2", {}, jpeg],
  ["/classify", { "Content-Type": "multipart/form-data; boundary=b" }, form],
  ["/classify", { "Content-Type": "application/json" }, json([url, url])],
  ["/embed?pool=mean", { Accept: "application/octet-stream" }, jpeg],
  ["/v2/repository/index", {}, json({ ready: true })],
];

let server: TestServer;
let stop: () => void;
beforeAll(async () => {
  server = await startServer({ bodyBytes: 2 ** 20 }, {}, undefined, (end) => {
    stop = end;
  });
});
afterAll(() => stop());

const statuses = [200, 400, 404, 405, 413, 415];

it("answers damaged bodies", async () => {
  const seen = new Map<number, number>();
  await forEach(count, async (index) => {
    const random = randomOf(seed * 1e6 + index);
    const [path, headers, body] = good[index % good.length]!;
    const answer = await server.call(path, {
      method: "POST",
      headers,
      body: damaged(body, random),
    });
    expect(statuses, `request ${index} of seed ${seed}`).toContain(answer.status);
    if (answer.status !== 200) expect(typeof answer.json().error).toBe("string");
    seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1);
  });
  expect(server.defects).toEqual([]);
  // The damage is neither harmless nor always the same.
  expect(seen.get(200)).toBeGreaterThan(count / 50);
  expect(seen.get(400)).toBeGreaterThan(count / 4);
});

it("answers damaged requests, heads included, or ends their connection", async () => {
  const seen = new Map<string, number>();
  await forEach(count, async (index) => {
    const random = randomOf(seed * 2e6 + index);
    const [path, headers, body] = good[index % good.length]!;
    const lines = Object.entries({ Host: "x", "Content-Length": body.length, ...headers });
    const text = [`POST ${path} HTTP/1.1`, ...lines.map(([name, value]) => `${name}: ${value}`)];
    const bytes = Buffer.concat([Buffer.from(`${text.join("\r\n")}\r\n\r\n`), body]);
    const socket = await server.open();
    const received = receive(socket);
    socket.end(damaged(bytes, random));
    const answer = await within(5000, received, `request ${index} of seed ${seed} hangs`);
    expect(answer, `request ${index} of seed ${seed}`).toMatch(/^(HTTP\/1\.1 [1234]\d\d |$)/);
    expect(answer).not.toContain("HTTP/1.1 5");
    const status = answer.slice(9, 12);
    seen.set(status, (seen.get(status) ?? 0) + 1);
  });
  expect(server.defects).toEqual([]);
  expect(seen.get("200")).toBeGreaterThan(0);
  expect(await server.call("/v2/health/ready")).toMatchObject({ status: 200 });
});

async function within<T>(milliseconds: number, promise: Promise<T>, message: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(message)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
