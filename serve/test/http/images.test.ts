// `POST /classify` and `POST /embed`: images as raw bodies, forms and data: URLs.
import { describe, expect, it } from "vitest";
import type { ImagesRequest } from "../../lib/protocol/types.ts";
import { startServer } from "./server.ts";

const first = Buffer.concat([Buffer.of(255), Buffer.alloc(63)]);
const second = Buffer.concat([Buffer.of(1), Buffer.alloc(31)]);
const dogs = [
  { index: 3, label: "dog", probability: 64 },
  { index: 2, label: "cat", probability: 0.25 },
];
const bees = [
  { index: 1, label: "bee", probability: 32 },
  { index: 3, label: "dog", probability: 0.375 },
];
const urls = [first, second].map((image) => `data:image/png;base64,${image.toString("base64")}`);
const json = { "Content-Type": "application/json; charset=utf-8" };

/** Writes a form as curl does. */
function form(...parts: readonly (readonly [disposition: string, body: Uint8Array])[]) {
  const lines = parts.flatMap(([disposition, body]) => [
    Buffer.from(`--b0undary\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n`),
    body,
    Buffer.from("\r\n"),
  ]);
  return {
    body: Buffer.concat([...lines, Buffer.from("--b0undary--\r\n")]),
    headers: { "Content-Type": "multipart/form-data; boundary=b0undary" },
  };
}

describe("/classify", () => {
  it("takes one raw image, whatever its content type, and answers with its classes", async () => {
    const { call } = await startServer();
    for (const type of ["image/jpeg", "application/octet-stream", "text/plain", undefined]) {
      const headers = type === undefined ? {} : { "Content-Type": type };
      const answer = await call("/classify?top=2", { body: first, headers });
      expect([answer.status, answer.json()]).toEqual([200, dogs]);
    }
    expect((await call("/classify", { body: first })).json().length).toBe(4);
  });

  it("takes forms and lists, and answers with a list for each image, in order", async () => {
    const { call } = await startServer();
    const both = form(
      ['name="a"; filename="1.png"', first],
      ['name="a"; filename="2.png"', second],
    );
    expect((await call("/classify?top=2", both)).json()).toEqual([dogs, bees]);
    const one = form(['name="image"; filename="x"', second]);
    expect((await call("/classify?top=2", one)).json()).toEqual([bees]);
    const list = { body: JSON.stringify(urls), headers: json };
    expect((await call("/classify?top=2", list)).json()).toEqual([dogs, bees]);
    const url = { body: JSON.stringify(urls[0]), headers: json };
    expect((await call("/classify?top=2", url)).json()).toEqual(dogs);
  });

  it("passes the options in the address", async () => {
    const { call, state } = await startServer();
    await call("/classify?model=vgg11&version=1&top=1&priority=2&timeoutMs=30", { body: first });
    const options = { model: "vgg11", version: "1", top: 1, priority: 2, timeoutMs: 30 };
    expect(state.requests[0]).toMatchObject(options);
    await call("/classify", { body: first });
    const { timeoutMs, ...usual } = state.requests[1] as ImagesRequest;
    expect(usual).toMatchObject({ model: undefined, version: undefined, top: 5, priority: 0 });
    expect(timeoutMs).toBeUndefined();
  });

  it.each([
    ["?top=0", "Expected an integer from 1 to 999999999 for top"],
    ["?top=1&top=2", "Expected one value for top"],
    ["?top=5x", "Expected an integer"],
    ["?timeoutMs=-1", "for timeoutMs"],
    ["?tpo=5", 'for the address but received "tpo"'],
    ["?model=nope", "unknown model"],
  ])("refuses %s", async (query, message) => {
    const { call } = await startServer();
    const answer = await call(`/classify${query}`, { body: first });
    expect(answer.status).toBe(query === "?model=nope" ? 404 : 400);
    expect(answer.json().error).toContain(message);
  });

  it.each([
    ["", {}, "the body is empty"],
    ['"http://x/y.png"', json, "Expected a data: URL for image 0"],
    ['["/etc/passwd"]', json, "Expected a data: URL for image 0"],
    ['["data:image/png,plain"]', json, "in base64"],
    ['["data:image/png;base64,@@@@"]', json, "Expected base64"],
    ['["data:image/png;base64"]', json, "in base64"],
    ["[]", json, "the request has none"],
    ["{}", json, "a list of them"],
    ["[1]", json, "for image 0 but received 1"],
    ["", json, "Expected JSON"],
    [form().body, form().headers, "the request has none"],
    [form(['name="a"', first]).body, form().headers, 'a file for part "a"'],
    ["junk", form().headers, "a form"],
    [first, { "Content-Type": "multipart/form-data" }, "a form with a boundary"],
    [first, { "Content-Type": "multipart/mixed; boundary=x" }, "a form"],
  ])("refuses the body %j", async (body, headers: Record<string, string>, message) => {
    const { call, defects } = await startServer();
    const answer = await call("/classify", { body, headers });
    expect([answer.status, answer.json().error]).toEqual([400, expect.stringContaining(message)]);
    expect(defects).toEqual([]);
  });

  it("counts images before it reads them", async () => {
    const { call } = await startServer({ imagesPerRequest: 3 });
    const part = ['name="a"; filename="x"', first] as const;
    const ways = (count: number) => [
      form(...Array.from({ length: count }, () => part)),
      { body: JSON.stringify(Array.from({ length: count }, () => urls[0])), headers: json },
    ];
    for (const way of ways(3)) expect(await call("/classify", way)).toMatchObject({ status: 200 });
    for (const way of [...ways(4), form(...Array.from({ length: 1e5 }, () => part))]) {
      const answer = await call("/classify", way);
      expect([answer.status, answer.json().error]).toEqual([
        413,
        "Expected at most 3 images in one request",
      ]);
    }
  });

  it("takes a form of many megabytes in a moment", async () => {
    const { call } = await startServer();
    const large = form(['name="a"; filename="x"', Buffer.alloc(60 * 2 ** 20, "\r\n--b0undar")]);
    const start = performance.now();
    expect(await call("/classify", large)).toMatchObject({ status: 200 });
    expect(performance.now() - start).toBeLessThan(5000);
  });
});

describe("/embed", () => {
  it("answers with a vector, or one for each image", async () => {
    const { call } = await startServer();
    const vectors = [
      [0, 0.125, 0.25, 64],
      [0, 32, 0.25, 0.375],
    ];
    expect((await call("/embed", { body: first })).json()).toEqual(vectors[0]);
    const list = { body: JSON.stringify(urls), headers: json };
    expect((await call("/embed", list)).json()).toEqual(vectors);
    const answer = await call("/embed", {
      ...list,
      headers: { ...json, Accept: "application/octet-stream" },
    });
    expect(answer.headers).toMatchObject({ "tensor-shape": "2,4" });
    expect(answer.body).toEqual(Buffer.from(Float32Array.from(vectors.flat()).buffer));
  });

  it("passes the options in the address", async () => {
    const { call, state } = await startServer();
    await call("/embed?layer=features&pool=mean&normalize=true", { body: first });
    const options = { layer: "features", pool: "mean", normalize: true };
    expect(state.requests[0]).toMatchObject(options);
    await call("/embed?normalize=false", { body: first });
    expect(state.requests[1]).toMatchObject({ layer: undefined, normalize: false });
    for (const query of ["pool=sum", "normalize=1", "top=5"])
      expect(await call(`/embed?${query}`, { body: first })).toMatchObject({ status: 400 });
  });
});
