// The OpenAPI document: valid, the same as the routes, and true of the answers.
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { expect, it } from "vitest";
import { Access } from "../../lib/access/access.ts";
import { storedTokenOf } from "../../lib/access/tokens.ts";
import { httpApp } from "../../lib/http/app.ts";
import { openApiDocument, templateOf } from "../../lib/http/openapi/document.ts";
import { operations } from "../../lib/http/openapi/operations.ts";
import { routes } from "../../lib/http/routes.ts";
import { fakeEngine } from "./fake-engine.ts";
import { type Answer, type CallOptions, startServer } from "./server.ts";

const served = async () => (await (await startServer()).call("/openapi.json")).json();

it("is a valid document of OpenAPI 3.1", async () => {
  const validator = new Validator();
  const { valid, errors } = await validator.validate(await served());
  expect(errors).toBeUndefined();
  expect(valid).toBe(true);
  expect(validator.version).toBe("3.1");
});

it("lists every route of the app, and no other", async () => {
  const app = httpApp({
    engine: fakeEngine().engine,
    access: new Access(),
    limits: { bodyBytes: 1, heldBytes: 1, jsonTensorBytes: 1, imagesPerRequest: 1 },
    server: { name: "x", version: "0" },
  });
  const inApp = app.routes
    .filter(({ method }) => method !== "ALL")
    .map(({ method, path }) => `${method} ${templateOf(path)}`);
  const { paths } = await served();
  const documented = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods as object).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(documented.sort()).toEqual(inApp.sort());
  expect(inApp.length).toBeGreaterThan(20);
});

it("names each operation once, and has no operation without a route", () => {
  const document = openApiDocument(routes, { name: "x", version: "0" });
  const ids = [...JSON.stringify(document).matchAll(/"operationId":"(\w+)"/g)].map(([, id]) => id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.length).toBe(routes.length);
  const used = new Set([...routes.map(({ operation }) => operation), "openApi"]);
  expect(new Set(Object.keys(operations))).toEqual(used);
});

const image = Buffer.from("\xff\xd8\xff\xe0an image", "latin1");
const infer = "/v2/models/vgg11/infer";
const tensor = { name: "image", datatype: "BYTES", shape: [1], data: ["abc"] };
const json = (body: unknown): CallOptions => ({
  body: JSON.stringify(body),
  headers: { "Content-Type": "application/json" },
});

/** Calls, each with the path of the document that it belongs to. */
const calls: readonly (readonly [
  status: number,
  at: string,
  path: string,
  options: CallOptions,
])[] = [
  [200, "/v2/health/live", "/v2/health/live", {}],
  [200, "/v2/health/ready", "/v2/health/ready", {}],
  [200, "/v2", "/v2", {}],
  [200, "/v2/models", "/v2/models", {}],
  [200, "/v2/models/stats", "/v2/models/stats", {}],
  [200, "/v2/models/{model}", "/v2/models/vgg11", {}],
  [404, "/v2/models/{model}", "/v2/models/nope", {}],
  [200, "/v2/models/{model}/versions/{version}", "/v2/models/vgg11/versions/1", {}],
  [200, "/v2/models/{model}/ready", "/v2/models/vgg11/ready", {}],
  [200, "/v2/models/{model}/config", "/v2/models/vgg11/config", {}],
  [200, "/v2/models/{model}/stats", "/v2/models/vgg11/stats", {}],
  [200, "/v2/models/{model}/infer", infer, json({ inputs: [tensor], id: "1" })],
  [
    200,
    "/v2/models/{model}/infer",
    infer,
    json({
      inputs: [tensor],
      outputs: [{ name: "probabilities", parameters: { classification: 2 } }],
    }),
  ],
  [200, "/v2/models/{model}/infer", infer, { body: image, headers: { "Content-Type": "image/x" } }],
  [400, "/v2/models/{model}/infer", infer, json({ inputs: [] })],
  [413, "/v2/models/{model}/infer", infer, { body: Buffer.alloc(5000, " ") }],
  [415, "/v2/models/{model}/infer", infer, { body: "", headers: { "Content-Encoding": "br" } }],
  [200, "/v2/repository/index", "/v2/repository/index", json({ ready: true })],
  [401, "/v2/repository/models/{model}/load", "/v2/repository/models/vgg11/load", json({})],
  [
    200,
    "/v2/repository/models/{model}/load",
    "/v2/repository/models/vgg11/load",
    { body: "", headers: { Authorization: "Bearer admin" } },
  ],
  [
    200,
    "/v2/repository/{repository}/models/{model}/unload",
    "/v2/repository/x/models/vgg11/unload",
    { body: "{}", headers: { Authorization: "Bearer admin" } },
  ],
  [200, "/classify", "/classify", { body: image }],
  [200, "/classify", "/classify", json([`data:;base64,${image.toString("base64")}`])],
  [400, "/classify", "/classify", { body: "" }],
  [200, "/embed", "/embed", { body: image }],
  [
    200,
    "/embed",
    "/embed",
    { body: image, headers: { Accept: "application/octet-stream", "Content-Type": "image/x" } },
  ],
  [200, "/layers", "/layers?layer=features.0", { body: image }],
  [400, "/layers", "/layers", { body: image }],
  [400, "/layers", "/layers?layer=features.0&size=1000", { body: image }],
  [200, "/layers", "/layers", {}],
  [404, "/layers", "/layers?model=nope", {}],
  [200, "/openapi.json", "/openapi.json", {}],
];

it("is true of the answers", async () => {
  const { call } = await startServer(
    { jsonTensorBytes: 4000 },
    { admin: [storedTokenOf("admin")] },
  );
  const document = (await call("/openapi.json")).json();
  // A property that the document does not name would be a mistake of either.
  const strict = JSON.parse(JSON.stringify(document), (_, value) =>
    value?.type === "object" && value.properties
      ? { additionalProperties: false, ...value }
      : value,
  );
  const ajv = new Ajv2020({ strict: false });
  ajv.addSchema(strict, "document");
  for (const [status, at, path, options] of calls) {
    const answer: Answer = await call(path, options);
    const method = options.body === undefined ? "get" : "post";
    const called = `${method} ${path} → ${status}`;
    expect(answer.status, called).toBe(status);
    const described = document.paths[at][method].responses[status];
    const type = answer.headers["content-type"]!;
    expect(Object.keys(described.content), called).toContain(type);
    if (type !== "application/json") continue;
    const pointer = ["paths", at, method, "responses", String(status), "content", type, "schema"]
      .map((part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1")))
      .join("/");
    const validate = ajv.getSchema(`document#/${pointer}`) as ValidateFunction;
    expect(validate(answer.json()) ? null : validate.errors, called).toBeNull();
  }
});
