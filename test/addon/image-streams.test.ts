// Streams of a call that fails: none stays open.
import { Readable } from "node:stream";
import { ReadableStream } from "node:stream/web";
import { describe, expect, it } from "vitest";
import { type ImageSource, preprocess } from "../../lib/index.ts";
import { failure } from "../support/images.ts";

/** Streams that never give a byte, and how many of them were ended. */
function silent(count: number) {
  const nodes = Array.from({ length: count }, () => new Readable({ read() {} }));
  let cancelled = 0;
  const stream = () =>
    new ReadableStream<Uint8Array>({
      cancel() {
        cancelled++;
      },
    });
  const others = Array.from({ length: count }, () => [
    stream(),
    new Response(stream() as unknown as globalThis.ReadableStream),
    new Response(stream() as unknown as globalThis.ReadableStream, { status: 404 }),
  ]);
  const ended = () => nodes.filter(({ destroyed }) => destroyed).length + cancelled;
  return { sources: [...nodes, ...others.flat()] as ImageSource[], ended };
}

describe("a call that fails", () => {
  it("ends all streams, also those that it has not begun to read", async () => {
    const { sources, ended } = silent(6);
    await failure(preprocess(["missing.png", ...sources]));
    await new Promise(setImmediate);
    expect(ended()).toBe(sources.length);
  });

  it("ends a stream if it is aborted before the read", async () => {
    const { sources, ended } = silent(1);
    for (const source of sources) {
      const reason = new Error("enough");
      expect(await failure(preprocess(source, { signal: AbortSignal.abort(reason) }))).toBe(reason);
    }
    await new Promise(setImmediate);
    expect(ended()).toBe(sources.length);
  });

  it("does not destroy a stream that it has read", async () => {
    const read = Readable.from([Buffer.from("no image")], { autoDestroy: false });
    await failure(preprocess(read));
    expect([read.readableEnded, read.destroyed]).toEqual([true, false]);
  });
});
