// The routes but those that run a model: health, metadata, statistics, repository, and paths and methods that are none.
import { expect, it } from "vitest";
import { storedTokenOf } from "../../lib/access/tokens.ts";
import { startServer } from "./server.ts";

it("answers probes with 200 or 503, and a body for KServe", async () => {
  const { call, state } = await startServer();
  expect(await call("/v2/health/live")).toMatchObject({ status: 200 });
  expect((await call("/v2/health/ready")).json()).toEqual({ live: true, ready: true });
  expect((await call("/v2/models/vgg11/ready")).json()).toEqual({ name: "vgg11", ready: true });
  state.isReady = false;
  const unready = await call("/v2/health/ready");
  expect([unready.status, unready.json()]).toEqual([
    503,
    { live: true, ready: false, reason: "draining" },
  ]);
  expect(await call("/v2/models/vgg11/versions/1/ready")).toMatchObject({ status: 503 });
  expect(await call("/v2/health/live")).toMatchObject({ status: 200 });
  state.isLive = false;
  const dead = await call("/v2/health/live");
  expect([dead.status, dead.json()]).toEqual([503, { live: false, ready: false }]);
});

it("serves HTTP/1.0 without a Host, and refuses a damaged Host in the form of all refusals", async () => {
  const { open } = await startServer();
  const ask = async (head: string) => {
    const socket = await open();
    socket.end(`GET /v2/health/live ${head}\r\n\r\n`);
    return Buffer.concat(await socket.toArray()).toString();
  };
  const old = await ask("HTTP/1.0");
  expect(old).toMatch(/^HTTP\/1\.1 200 /);
  expect(old).toContain('"live":true');
  for (const host of ["a b", "[::", "a/b"]) {
    const answer = await ask(`HTTP/1.1\r\nConnection: close\r\nHost: ${host}`);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('{"error":"Expected a request of HTTP: ');
  }
});

it("says what it is and what its models are", async () => {
  const { call } = await startServer();
  expect((await call("/v2")).json()).toEqual({
    name: "vgg-cudnn-serve",
    version: "0.0.0",
    extensions: [
      "binary_tensor_data",
      "classification",
      "schedule_policy",
      "parameters",
      "model_configuration",
      "statistics",
      "model_repository",
    ],
  });
  expect((await call("/v2/models")).json()).toEqual({ models: ["vgg11", "vgg16"] });
  const whole = (await call("/v2/models/vgg11")).json();
  expect(whole.inputs).toEqual([{ name: "image", datatype: "BYTES", shape: [-1, 1] }]);
  expect((await call("/v2/models/vgg11/versions/1")).json()).toEqual(whole);
  expect((await call("/v2/models/vgg11/config")).json().max_batch_size).toBe(8);
  for (const path of ["stats", "vgg11/stats", "vgg11/versions/1/stats"]) {
    const [stats] = (await call(`/v2/models/${path}`)).json().model_stats;
    expect(stats).toMatchObject({ name: "vgg11", response_stats: {}, memory_usage: [] });
  }
});

it("answers 404 for unknown models, versions and paths", async () => {
  const { call } = await startServer();
  const paths = [
    "/v2/models/nope",
    "/v2/models/nope/ready",
    "/v2/models/nope/config",
    "/v2/models/nope/stats",
    "/v2/models/vgg11/versions/2",
    "/v2/models/vgg11/versions/2/ready",
    "/v2/models/vgg11/versions/one/ready",
    "/v2/models/vgg11/nope",
    "/v2/models/%zz",
    "/v1/models",
    "/v2/",
    "/favicon.ico",
  ];
  for (const path of paths) {
    const answer = await call(path);
    expect([answer.status, Object.keys(answer.json())], path).toEqual([404, ["error"]]);
  }
  const { error } = (await call("/v2/models/nope/infer", { body: "{}" })).json();
  expect(error).toBe("Request for unknown model: 'nope' is not found");
});

it("answers 405 and the methods for another method", async () => {
  const { call } = await startServer();
  const wrong = [
    ["GET", "/v2/models/vgg11/infer", "POST"],
    ["POST", "/v2/models/vgg11", "GET, HEAD"],
    ["DELETE", "/v2/models/stats", "GET, HEAD"],
    ["PUT", "/classify", "POST"],
    ["OPTIONS", "/v2", "GET, HEAD"],
  ] as const;
  for (const [method, path, allow] of wrong) {
    const answer = await call(path, { method });
    expect([answer.status, answer.headers.allow], path).toEqual([405, allow]);
    expect(answer.json().error).toContain(method);
  }
  const head = await call("/v2/health/ready", { method: "HEAD" });
  expect([head.status, head.body.length]).toEqual([200, 0]);
});

it("lists the repository, with an empty body or a filter", async () => {
  const { call } = await startServer();
  const list = async (body: string, path = "/v2/repository/index") =>
    (await call(path, { body })).json();
  const all = await list("");
  expect(all).toEqual([
    { name: "vgg11", version: "1", state: "READY", reason: "" },
    { name: "vgg16", version: "1", state: "UNAVAILABLE", reason: "unloaded" },
  ]);
  expect(await list("{}", "/v2/repository/any/index")).toEqual(all);
  expect(await list('{"ready": false}')).toEqual(all);
  expect(await list('{"ready": true}')).toEqual([all[0]]);
  expect(await list('{"ready": 1}')).toEqual({
    error: "Expected true or false for ready but received 1",
  });
});

it("loads and unloads with an admin's token only", async () => {
  const { call, state } = await startServer({}, { admin: [storedTokenOf("admin")] });
  const headers = { Authorization: "Bearer admin" };
  const load = "/v2/repository/models/vgg11/load";
  const unload = "/v2/repository/any/models/vgg11/unload";
  const refused = await call(load, { body: "{}" });
  expect([refused.status, refused.headers["www-authenticate"]]).toEqual([401, "Bearer"]);
  expect((await call(load, { body: "{}", headers })).json()).toEqual({ name: "vgg11", load: true });
  const body = '{"parameters":{"unload_dependents":false}}';
  expect((await call(unload, { body, headers })).json()).toEqual({ name: "vgg11", unload: true });
  expect(state.loaded).toEqual(["load vgg11", "unload vgg11"]);
  for (const parameters of ['{"config": "{}"}', '{"file:1/model": "AAAA"}'])
    expect(await call(load, { body: `{"parameters":${parameters}}`, headers })).toMatchObject({
      status: 400,
    });
  const unknown = await call("/v2/repository/models/nope/load", { body: "", headers });
  expect(unknown.status).toBe(404);
  expect(state.loaded.length).toBe(2);
});

it("asks for a token, and refuses a client that calls too often", async () => {
  const tokens = [storedTokenOf("secret")];
  const { call, state } = await startServer({}, { tokens, requestsPerSecond: 3 });
  const infer = "/v2/models/vgg11/infer";
  const refused = await call(infer, { body: "{}" });
  expect([refused.status, refused.headers["www-authenticate"]]).toEqual([401, "Bearer"]);
  expect(await call("/v2/health/ready")).toMatchObject({ status: 200 });
  const headers = { Authorization: "Bearer secret", "Content-Type": "image/jpeg" };
  for (const _ of [1, 2, 3])
    expect(await call(infer, { body: "image", headers })).toMatchObject({ status: 200 });
  const often = await call(infer, { body: "image", headers });
  expect([often.status, often.headers["retry-after"]]).toEqual([429, "1"]);
  expect(state.requests[0]!.client).toMatch(/^token [0-9a-f]{16}$/);
});

it("records requests for work that it refused, once each", async () => {
  const tokens = [storedTokenOf("secret")];
  const { call, state } = await startServer({ bodyBytes: 100 }, { tokens });
  const headers = { Authorization: "Bearer secret", "Content-Type": "image/jpeg" };
  const infer = "/v2/models/vgg11/infer";
  await call(infer, { body: "image" });
  await call(infer.replace("vgg11", "nope"), { body: "image", headers });
  await call("/embed", { body: "x".repeat(101), headers });
  await call("/classify?top=x", { body: "image", headers });
  await call("/classify?model=nope", { body: "image", headers });
  await call(infer, { body: "image", headers });
  await call("/v2/models/nope", { headers });
  expect(
    state.refused.map(({ kind, status, outcome, bytes }) => [kind, status, outcome, bytes]),
  ).toEqual([
    ["infer", 401, "OTHER", 5],
    ["infer", 404, "OTHER", 5],
    ["embed", 413, "OTHER", 101],
    ["classify", 400, "OTHER", 5],
  ]);
  expect(state.refused[1]).toMatchObject({ model: "", protocol: "http", images: 0, runs: [] });
  expect(state.refused[0]!.client).toBe("127.0.0.1");
  expect(state.refused[1]!.client).toMatch(/^token /);
});
