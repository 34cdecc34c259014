// The settings of the worker that are refused, and a Redis that is not there.
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { startWorker } from "../../lib/worker/index.ts";

const model = { weights: "none.safetensors" };
const start = (options: object) => expect(startWorker({ model, ...options })).rejects;

it("refuses wrong settings, and a Redis that is not there", async () => {
  await start({ model: { ...model, devices: ["cpu", "cuda"] } }).toThrow("one device");
  await start({ allow: { folders: ["/none/such"] } }).toThrow("Expected a folder");
  const file = fileURLToPath(import.meta.url);
  await start({ allow: { folders: [file] } }).toThrow(`${file} is none`);
  await start({ allow: { urls: ["ftp://a/"] } }).toThrow("an http or https URL");
  await start({ queue: "a:b" }).toThrow("a name without a colon for queue");
  await start({ tops: 5 }).toThrow('"tops"');
  await start({ redis: "/none/such.sock" }).toThrow("Cannot connect to Redis");
});
