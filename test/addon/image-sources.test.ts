// Where images come from: arguments, files, bytes, streams and HTTP, and how each fails.
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { ReadableStream } from "node:stream/web";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ImageSource, preprocess } from "../../lib/index.ts";

import {
  drawing,
  expectCode,
  expectSame,
  failure,
  folder,
  photo,
  scratch,
} from "../support/images.ts";

describe("arguments", () => {
  it.each<[string, unknown, typeof TypeError | typeof RangeError, string]>([
    ["a number", 7, TypeError, "for source but received 7"],
    ["null", null, TypeError, "for source but received null"],
    ["undefined", undefined, TypeError, "for source but received undefined"],
    ["an object", {}, TypeError, "for source but received an object"],
    ["Float32Array", new Float32Array(3), TypeError, "received an instance of Float32Array"],
    ["SharedArrayBuffer", new SharedArrayBuffer(3), TypeError, "for source but received"],
    [
      "an array with an element that is not an image",
      [drawing, 7],
      TypeError,
      "for source[1] but received 7",
    ],
    ["a sparse array", Array(2), TypeError, "for source[0] but received"],
    ["an array in an array", [[drawing]], TypeError, "for source[0] but received"],
    ["an empty array", [], RangeError, "for source but received []"],
    ["an empty path", "", RangeError, 'Expected a path for source but received ""'],
    ["a path with NUL", "a\0b", RangeError, "Expected a path"],
    ["an unknown scheme", "ftp://host/a.png", RangeError, "http, https, file or data URL"],
    ["a blob URL", new URL("blob:nodedata:x"), RangeError, "http, https, file or data URL"],
    ["an invalid URL", "http://", RangeError, "Expected a valid URL"],
    ["a file URL of another machine", "file://host/a.png", RangeError, "of this machine"],
  ])("refuses %s", async (_, source, type, message) => {
    const error = await failure(preprocess(source as ImageSource));
    expect(error).toBeInstanceOf(type);
    expect(error.message).toContain(message);
    expect(error.message).toMatch(/^Expected .* for .* but received /);
  });

  it.each<[object | null, typeof TypeError | typeof RangeError, string]>([
    [{ size: 256 }, TypeError, 'for options but received "size"'],
    [{ resize: "squeeze" }, TypeError, 'or "squash" for options.resize'],
    [{ interpolation: "hamming" }, RangeError, "one of bilinear, bicubic, nearest, lanczos, box"],
    [{ channels: 2 }, RangeError, "1 or 3 for options.channels"],
    [{ channels: 1, mean: [0, 0, 0] }, RangeError, "one finite number for options.mean"],
    [{ orientation: 0 }, TypeError, "a boolean for options.orientation"],
    [null, TypeError, "for options but received null"],
    [{ resizeSize: "256" }, TypeError, "options.resizeSize"],
    [{ resizeSize: 0 }, RangeError, "options.resizeSize"],
    [{ resizeSize: 1e9 }, RangeError, "options.resizeSize"],
    [
      { cropSize: 257 },
      RangeError,
      "from 1 to 256, the side after the resize, for options.cropSize",
    ],
    [{ cropSize: 1.5 }, RangeError, "options.cropSize"],
    [{ maxPixels: Number.NaN }, RangeError, "options.maxPixels"],
    [{ maxBytes: -1 }, RangeError, "options.maxBytes"],
    [{ timeoutMs: Number.POSITIVE_INFINITY }, RangeError, "options.timeoutMs"],
    ...["resizeSize", "cropSize", "maxPixels", "maxBytes", "timeoutMs", "decodeTimeoutMs"].map(
      (name) =>
        [{ [name]: null }, TypeError, `for options.${name} but received null`] as [
          object,
          typeof TypeError,
          string,
        ],
    ),
    [{ signal: {} }, TypeError, "an AbortSignal for options.signal"],
    [{ mean: 0.5 }, TypeError, "options.mean"],
    [{ mean: ["0", 0, 0] }, TypeError, "options.mean"],
    [{ mean: [0, 0] }, RangeError, "options.mean"],
    [{ std: [1, 0, 1] }, RangeError, "options.std"],
    [{ std: [1, 1, Number.NaN] }, RangeError, "options.std"],
  ])("refuses the options %j", async (options, type, message) => {
    const error = await failure(preprocess(drawing, options as never));
    expect(error).toBeInstanceOf(type);
    expect(error.message).toContain(message);
  });

  it("copies bytes before the call returns", async () => {
    const expected = (await preprocess(drawing)).data;
    const bytes = Uint8Array.from(drawing);
    const transferred = Uint8Array.from(drawing).buffer;
    const shared = new Uint8Array(new SharedArrayBuffer(drawing.length));
    shared.set(drawing);
    const results = [preprocess(bytes), preprocess(transferred), preprocess([shared])];
    bytes.fill(0);
    shared.fill(0);
    structuredClone(transferred, { transfer: [transferred] });
    for (const result of await Promise.all(results)) expectSame(result.data, expected);
    await expectCode(preprocess(transferred), "IMAGE_FORMAT", "it is empty");
  });
});

describe("sources", () => {
  const path = join(folder, "landscape.png");
  const whole = () => preprocess(drawing).then(({ data }) => data);
  const chunks = function* () {
    for (let i = 0; i < drawing.length; i += 10_000) yield drawing.subarray(i, i + 10_000);
  };

  it.each<[string, () => ImageSource]>([
    ["a path", () => path],
    ["a file URL", () => pathToFileURL(path)],
    ["a file URL as a string", () => pathToFileURL(path).href],
    ["a data URL", () => `data:image/png;base64,${drawing.toString("base64")}`],
    ["a Buffer", () => drawing],
    ["a view of a larger buffer", () => Buffer.concat([photo, drawing]).subarray(photo.length)],
    ["an ArrayBuffer", () => Uint8Array.from(drawing).buffer],
    ["a file's stream", () => createReadStream(path)],
    ["a Node stream", () => Readable.from(chunks())],
    ["a web stream", () => ReadableStream.from(chunks())],
    ["a Blob's stream", () => new Blob([drawing]).stream() as ReadableStream],
  ])("reads %s", async (_, make) => {
    expectSame((await preprocess(make())).data, await whole());
    expectSame((await preprocess([make()])).data, await whole());
  });

  it.skipIf(process.platform === "win32")("refuses what is not a regular file", async () => {
    const fifo = join(scratch, "fifo");
    expect(spawnSync("mkfifo", [fifo]).status).toBe(0);
    for (const special of [fifo, scratch, "/dev/zero", "/dev/null"]) {
      await expectCode(preprocess(special), "IMAGE_UNREADABLE", `${special}: `);
    }
  });

  it("names a file that is missing", async () => {
    const missing = join(scratch, "missing.jpg");
    await expectCode(preprocess(missing), "IMAGE_UNREADABLE", `${missing}: `);
    await expectCode(preprocess(missing), "IMAGE_UNREADABLE", /: no such file$/);
    const stream = createReadStream(missing);
    await expectCode(preprocess(stream), "IMAGE_UNREADABLE", /^a stream: no such file$/);
  });

  it("fails with the first failure of a batch, and survives failures of unread streams", async () => {
    const missing = () => createReadStream(join(scratch, "missing.jpg"));
    const batch = [Buffer.from("text"), ...Array.from({ length: 20 }, missing)];
    await failure(preprocess(batch));
    await new Promise((resolve) => setTimeout(resolve, 50));
  });

  it("refuses streams in use, spent streams and streams of anything but bytes", async () => {
    const locked = ReadableStream.from(chunks());
    locked.getReader();
    expect(await failure(preprocess(locked))).toBeInstanceOf(RangeError);
    const spent = createReadStream(path);
    await preprocess(spent);
    expect(await failure(preprocess(spent))).toBeInstanceOf(RangeError);
    for (const stream of [
      Readable.from(["text"]),
      createReadStream(path, "latin1"),
      ReadableStream.from([[1, 2]]),
    ]) {
      const error = await failure(preprocess(stream as Readable));
      expect(error.constructor).toBe(TypeError);
      expect(error.message).toMatch(
        /^Expected chunks that are Uint8Array for a stream but received/,
      );
    }
  });

  it("stops a stream that has too many bytes, and destroys it", async () => {
    const node = new Readable({ read: () => node.push(Buffer.alloc(1000)) });
    await expectCode(preprocess(node, { maxBytes: 5000 }), "IMAGE_TOO_LARGE", "a stream: ");
    expect(node.destroyed).toBe(true);
    let isCancelled = false;
    const web = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(1000)),
      cancel: () => {
        isCancelled = true;
      },
    });
    await expectCode(preprocess(web, { maxBytes: 5000 }), "IMAGE_TOO_LARGE");
    expect(isCancelled).toBe(true);
  });

  it("says why a stream failed", async () => {
    const node = new Readable({ read: () => node.destroy(new Error("the disk is gone")) });
    await expectCode(preprocess(node), "IMAGE_UNREADABLE", "the disk is gone");
    const web = new ReadableStream({ pull: (controller) => controller.error(new Error("gone")) });
    await expectCode(preprocess(web), "IMAGE_UNREADABLE", "gone");
  });

  it("rejects with the signal's reason, before and while it waits, and destroys the stream", async () => {
    const reason = new Error("enough");
    for (const source of [path, drawing, pathToFileURL(path), Readable.from(chunks()), [path]]) {
      expect(await failure(preprocess(source, { signal: AbortSignal.abort(reason) }))).toBe(reason);
    }
    const node = new PassThrough();
    const web = new ReadableStream<Uint8Array>();
    for (const stream of [node, web]) {
      const controller = new AbortController();
      const result = failure(preprocess([path, stream], { signal: controller.signal }));
      setTimeout(() => controller.abort(reason), 20);
      expect(await result).toBe(reason);
    }
    expect(node.destroyed).toBe(true);
    const controller = new AbortController();
    const decoding = failure(preprocess(drawing, { signal: controller.signal }));
    setImmediate(() => controller.abort(reason));
    expect(await decoding).toBe(reason);
    expect((await preprocess(drawing, { signal: new AbortController().signal })).size).toBe(
      150_528,
    );
  });
});

describe("HTTP", () => {
  let server: Server;
  let root: string;
  let answer: RequestListener;
  beforeAll(async () => {
    server = createServer((request, response) => answer(request, response)).listen(0, "127.0.0.1");
    await once(server, "listening");
    root = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  it("reads an image, after a redirect too", async () => {
    answer = (request, response) =>
      request.url === "/old"
        ? response.writeHead(302, { location: "/new" }).end()
        : response.end(drawing);
    const expected = (await preprocess(drawing)).data;
    expectSame((await preprocess(`${root}/new`)).data, expected);
    expectSame((await preprocess(new URL(`${root}/old`))).data, expected);
  });

  it("names the URL and the status", async () => {
    for (const status of [404, 500, 304]) {
      answer = (_, response) => response.writeHead(status).end();
      const message = new RegExp(`^${root}/a\\.png: .*received ${status} `);
      await expectCode(preprocess(`${root}/a.png`), "IMAGE_UNREADABLE", message);
    }
  });

  it("refuses a URL with a password, and does not repeat it", async () => {
    const error = await failure(preprocess(root.replace("//", "//me:secret@")));
    expect(error).toBeInstanceOf(RangeError);
    expect(error.message).not.toContain("secret");
  });

  it("says that no server answers, or that the answer broke off", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    other.close();
    await once(other, "close");
    await expectCode(
      preprocess(`http://127.0.0.1:${port}/`),
      "IMAGE_UNREADABLE",
      /connection refused \(ECONNREFUSED\)$/,
    );
    answer = (_, response) => {
      response.writeHead(200, { "content-length": drawing.length });
      response.write(drawing.subarray(0, 1000), () => response.destroy());
    };
    await expectCode(preprocess(root), "IMAGE_UNREADABLE");
  });

  it("refuses an answer that is not an image, or is empty", async () => {
    answer = (_, response) => response.end("<!doctype html>");
    await expectCode(preprocess(root), "IMAGE_FORMAT", "HTML");
    answer = (_, response) => response.writeHead(204).end();
    await expectCode(preprocess(root), "IMAGE_FORMAT", "it is empty");
  });

  it("stops at timeoutMs, before or during the answer, and closes the connection", async () => {
    for (const begin of [false, true]) {
      const closed = new Promise((resolve) => {
        answer = (_, response) => {
          response.on("close", resolve);
          if (begin) response.write(drawing.subarray(0, 1000));
        };
      });
      const message = "Expected the whole answer within 100 ms";
      await expectCode(preprocess(root, { timeoutMs: 100 }), "IMAGE_UNREADABLE", message);
      await closed;
    }
  });

  it("stops at maxBytes, by the declared length or by the bytes that arrive", async () => {
    for (const headers of [{ "content-length": 1e9 }, {}]) {
      const closed = new Promise((resolve) => {
        answer = (_, response) => {
          response.on("close", resolve).writeHead(200, headers);
          response.write(drawing);
        };
      });
      await expectCode(preprocess(root, { maxBytes: 5000 }), "IMAGE_TOO_LARGE", root);
      await closed;
    }
  });

  it("rejects with the signal's reason and closes the connection", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const closed = new Promise((resolve) => {
      answer = (_, response) => {
        response.on("close", resolve);
        response.write(drawing.subarray(0, 1000));
        controller.abort(reason);
      };
    });
    expect(await failure(preprocess(root, { signal: controller.signal }))).toBe(reason);
    await closed;
  });
});
