// The options of the server: their checks and defaults, the configuration file and its schema.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { checkOptions } from "../lib/settings/check.ts";
import { readConfig } from "../lib/settings/config.ts";
import type { ServeOptions } from "../lib/settings/options.ts";
import { optionsSchema } from "../lib/settings/schema.ts";
import { addComments } from "./support/described.ts";

const models = { vgg11: { weights: "vgg11.safetensors" } };
const folder = mkdtempSync(join(tmpdir(), "vgg-serve-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("checkOptions", () => {
  it("fills in the defaults", () => {
    const settings = checkOptions({ models });
    expect(settings.http).toEqual({ host: "127.0.0.1", port: 8000, tls: undefined });
    expect([settings.grpc?.port, settings.metrics?.port]).toEqual([8001, 8002]);
    expect(settings.limits).toMatchObject({ bodyBytes: 67_108_864, imagesPerRequest: 256 });
    expect([settings.drainMs, settings.shutdownMs]).toEqual([5000, 30_000]);
  });

  it("keeps what is given, and omits a protocol that is off", () => {
    const settings = checkOptions({
      models,
      http: { port: 0 },
      grpc: false,
      limits: { bodyBytes: 10, maxPixels: undefined },
      logger: console,
    });
    expect([settings.http?.port, settings.grpc, settings.limits.bodyBytes]).toEqual([0, null, 10]);
    expect(settings.limits.imagesPerRequest).toBe(256);
    expect(settings.logger).toBe(console);
  });

  const vgg11 = (more: object) => ({ models: { vgg11: { weights: "a.pth", ...more } } });
  it.each<[unknown, string]>([
    [null, "Expected an object for options but received null"],
    [{}, "Expected an object with a model for each name for models but received nothing"],
    [{ models: {} }, "Expected at least one model for models but received an object"],
    [
      { models: { "a/b": { weights: "x" } } },
      'Expected a name of letters, digits, dots, hyphens and underscores for a name in models but received "a/b"',
    ],
    [
      { models: { vgg11: {} } },
      "Expected a file or folder of weights for models.vgg11.weights but received nothing",
    ],
    [
      vgg11({ arch: "resnet18" }),
      'Expected one of vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn for models.vgg11.arch but received "resnet18"',
    ],
    [
      vgg11({ precision: "float64" }),
      'Expected one of float32, tf32, float16, bfloat16 for models.vgg11.precision but received "float64"',
    ],
    [
      vgg11({ devices: ["cuda:0", "tpu"] }),
      'Expected "auto", "cpu", "cuda" or "cuda:N" for models.vgg11.devices.1 but received "tpu"',
    ],
    [
      vgg11({ devices: [] }),
      "Expected at least one device for models.vgg11.devices but received an array of 0",
    ],
    [
      vgg11({ precison: "float32" }),
      'Expected only known options for models.vgg11 but received "precison"',
    ],
    [
      vgg11({ batching: { maxBatchSize: 0 } }),
      "Expected an integer from 1 to 4096 for models.vgg11.batching.maxBatchSize but received 0",
    ],
    [
      vgg11({ batching: { size: 1 } }),
      'Expected only known options for models.vgg11.batching but received "size"',
    ],
    [
      vgg11({ versions: ["first"] }),
      'Expected the number of a version, as a text for models.vgg11.versions.0 but received "first"',
    ],
    [
      { models, http: { port: 70_000 } },
      "Expected an integer from 0 to 65535 for http.port but received 70000",
    ],
    [{ models, http: true }, "Expected false or an object for http but received true"],
    [
      { models, access: { tokens: ["secret"] } },
      'Expected "sha256:" and 64 hexadecimal digits for access.tokens.0 but received another value',
    ],
    [
      { models, drainMs: -1 },
      "Expected an integer of ms from 0 to 2147483647 for drainMs but received -1",
    ],
    [{ models, logger: {} }, "Expected an object with the methods info, warn and error for logger"],
    [
      { models, http: { port: 9000 }, grpc: { port: 9000 } },
      "Expected another port than http's for grpc but received 9000",
    ],
    [
      { models, metrics: { port: 8000 } },
      "Expected another port than http's for metrics but received 8000",
    ],
  ])("refuses %j", (options, message) => {
    expect(() => checkOptions(options as ServeOptions)).toThrow(new TypeError(message));
  });
});

describe("readConfig", () => {
  const write = (text: string) => {
    const path = join(folder, "serve.json");
    writeFileSync(path, text);
    return path;
  };

  it("gives options whose paths are relative to the file's folder", async () => {
    const path = write(
      JSON.stringify({
        $schema: "x",
        models: {
          a: { weights: "m/a.pth", labels: "names.txt" },
          b: { arch: "vgg11", weights: "DEFAULT" },
        },
        http: { tls: { key: "key.pem", cert: "-----BEGIN CERTIFICATE-----" } },
        log: { file: "log.ndjson" },
      }),
    );
    const options = await readConfig(path);
    expect(options.models).toEqual({
      a: { weights: join(folder, "m/a.pth"), labels: join(folder, "names.txt") },
      b: { arch: "vgg11", weights: "DEFAULT" },
    });
    expect(options.http).toEqual({
      tls: { key: join(folder, "key.pem"), cert: "-----BEGIN CERTIFICATE-----" },
    });
    expect(options.log).toEqual({ file: join(folder, "log.ndjson") });
  });

  it("names the file and the option that is wrong", async () => {
    const path = write('{ "models": { "a": { "weights": 1 } } }');
    await expect(readConfig(path)).rejects.toThrow(
      `Expected a file or folder of weights for models.a.weights but received 1 in ${path}`,
    );
    await expect(readConfig(write("{"))).rejects.toThrow(`Expected JSON in ${path}`);
    await expect(readConfig(join(folder, "absent.json"))).rejects.toThrow("ENOENT");
    await expect(readConfig(folder)).rejects.toThrow("EISDIR");
  });
});

describe("config.schema.json", () => {
  it("is the schema that options are checked by, with the comments of their declarations", async () => {
    const schema = {
      title: "The configuration of vgg serve",
      ...z.toJSONSchema(optionsSchema, { target: "draft-2020-12", io: "input" }),
    };
    expect(addComments(schema)).toEqual([]);
    await expect(`${JSON.stringify(schema, null, 2)}\n`).toMatchFileSnapshot(
      "../config.schema.json",
    );
  });
});
