// The memory of encoded images is their own: the addon frees it, and other Buffers of the process stay as they are.
import { Readable } from "node:stream";
import { expect, it } from "vitest";
import { openSource } from "../../lib/image/source.ts";
import { preprocess } from "../../lib/index.ts";

const bytes = Buffer.concat([Buffer.from("P6 20 20 255\n"), Buffer.alloc(1200, 7)]);
const own = Uint8Array.from(bytes);

it.each([
  ["stream", () => Readable.from([bytes])],
  ["Blob", () => new Blob([own])],
  ["Response", () => new Response(own)],
  ["data URL", () => `data:;base64,${bytes.toString("base64")}`],
  [
    "Blob of a package",
    () => ({ size: own.length, slice() {}, stream() {}, arrayBuffer: async () => own.buffer }),
  ],
])("a small PPM of a %s leaves other Buffers as they are", async (_, source) => {
  const signal = new AbortController().signal;
  const limits = { maxBytes: 5000, timeoutMs: 1000, signal };
  const read = (await openSource(source(), "source").read(limits)) as Uint8Array;
  expect(read.buffer.byteLength).toBe(bytes.length);
  expect(read.buffer).not.toBe(own.buffer);
  const other = Buffer.from("another Buffer of the pool");
  await preprocess(source(), { resize: 32, crop: 32 });
  expect(other.toString()).toBe("another Buffer of the pool");
  expect(own.length).toBe(bytes.length);
});
