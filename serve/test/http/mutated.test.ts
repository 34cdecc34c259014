// Requests with random damage: each gets an answer of the table, never a 500, and no connection hangs.
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, it } from "vitest";
import { bytesOfElements } from "../../lib/protocol/tensors.ts";
import { receive, startServer, type TestServer } from "./server.ts";

/** Requests of each test; `VGG_MUTATIONS=40000` for a long run. */
const count = Number(process.env.VGG_MUTATIONS ?? 2000);
const seed = Number(process.env.VGG_SEED ?? 1);

/** Numbers 0 … 1 that a seed decides (mulberry32). */
function randomOf(start: number): () => number {
  let state = start | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

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

/** Words that break parsers: of JSON, of numbers, of forms and of HTTP. */
const words = ["{", "[", "]", '"', "\\", "null", "1e999", "-1", "99999999999999999999", "NaN", "\0"]
  .concat(["__proto__", "4294967295", "\r\n", "\r\n\r\n", "--b", ":", ",", "\xff\xfe", "true", "0"])
  .map((word) => Buffer.from(word, "latin1"));

/** Damages bytes at one to four places. */
function mutated(bytes: Buffer, random: () => number): Buffer {
  let result = Buffer.from(bytes);
  const pick = (below: number) => Math.floor(random() * below);
  for (let times = 1 + pick(4); times > 0; times--) {
    const at = pick(result.length + 1);
    const [before, after] = [result.subarray(0, at), result.subarray(at)];
    const middle = words[pick(words.length)]!;
    const size = pick(16);
    result = [
      () => Buffer.concat([before, Buffer.of(pick(256)), after.subarray(1)]),
      () => Buffer.concat([before, after.subarray(size)]),
      () => Buffer.concat([before, middle, after]),
      () => Buffer.concat([before, middle, after.subarray(middle.length)]),
      () => Buffer.concat([before, after.subarray(0, size), after]),
      () => before,
    ][pick(6)]!();
  }
  return result;
}

let server: TestServer;
let stop: () => void;
beforeAll(async () => {
  server = await startServer({ bodyBytes: 2 ** 20 }, {}, undefined, (end) => {
    stop = end;
  });
});
afterAll(() => stop());

/** Does a task for each number below `count`, eight at a time. */
async function forEach(task: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

const statuses = [200, 400, 404, 405, 413, 415];

it("answers damaged bodies", async () => {
  const seen = new Map<number, number>();
  await forEach(async (index) => {
    const random = randomOf(seed * 1e6 + index);
    const [path, headers, body] = good[index % good.length]!;
    const damaged = mutated(body, random);
    const answer = await server.call(path, { method: "POST", headers, body: damaged });
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
  await forEach(async (index) => {
    const random = randomOf(seed * 2e6 + index);
    const [path, headers, body] = good[index % good.length]!;
    const lines = Object.entries({ Host: "x", "Content-Length": body.length, ...headers });
    const text = [`POST ${path} HTTP/1.1`, ...lines.map(([name, value]) => `${name}: ${value}`)];
    const bytes = Buffer.concat([Buffer.from(`${text.join("\r\n")}\r\n\r\n`), body]);
    const socket = await server.open();
    const received = receive(socket);
    socket.end(mutated(bytes, random));
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
