// Images in objects: Blobs, Files, Requests, Responses and pixels, of Node or of packages; and strings that are no path.
import { File } from "node:buffer";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { type ImageSource, preprocess } from "../../lib/index.ts";
import {
  cropOf,
  drawing,
  expectCode,
  expectSame,
  failure,
  photo,
  scratch,
} from "../support/images.ts";

/** Expects the pixels of `photo`. */
const expectPhoto = async (source: ImageSource) =>
  expectSame(await cropOf(source), await cropOf(photo));

describe("a Blob", () => {
  it("is read, also a File, and one of a package", async () => {
    await expectPhoto(new Blob([photo]));
    await expectPhoto(new File([photo], "cat.jpg"));
    const bytes = Uint8Array.from(photo);
    const own = {
      size: bytes.length,
      slice() {},
      stream() {},
      arrayBuffer: async () => bytes.buffer,
    };
    await expectPhoto(own);
  });

  it("is named in errors, with its name in quotes", async () => {
    await expectCode(preprocess(new Blob(["text"])), "IMAGE_FORMAT", /^a Blob of 4 bytes: /);
    const file = new File(["text"], 'a"\n.jpg');
    await expectCode(preprocess(file), "IMAGE_FORMAT", 'the file "a\\"\\n.jpg": ');
  });

  it("has at most maxBytes", async () => {
    const maxBytes = photo.length - 1;
    await expectCode(preprocess(new Blob([photo]), { maxBytes }), "IMAGE_TOO_LARGE");
  });

  it("that fails is unreadable", async () => {
    const arrayBuffer = () => Promise.reject(new Error("it was deleted"));
    const own = { size: 5, slice() {}, stream() {}, arrayBuffer };
    await expectCode(preprocess(own), "IMAGE_UNREADABLE", "it was deleted");
  });
});

describe("a Request or Response", () => {
  const post = (body: Uint8Array) => new Request("http://localhost/", { method: "POST", body });

  it("gives its body", async () => {
    await expectPhoto(post(photo));
    await expectPhoto(new Response(photo));
    const form = new FormData();
    form.set("file", new Blob([photo]), "cat.jpg");
    await expectPhoto((await new Response(form).formData()).get("file") as Blob);
  });

  it("of a package may have a Node stream", async () => {
    const text = async () => "";
    const own = {
      bodyUsed: false,
      body: Readable.from([photo]),
      text,
      arrayBuffer: async () => new ArrayBuffer(0),
    };
    await expectPhoto(own);
    await expectPhoto({
      ...own,
      body: undefined,
      arrayBuffer: async () => Uint8Array.from(photo).buffer,
    });
  });

  it("whose body is in use is refused at the call", async () => {
    const used = post(photo);
    await used.arrayBuffer();
    const locked = new Response(photo);
    locked.body!.getReader();
    for (const source of [used, locked]) {
      const error = await failure(preprocess(source));
      expect(error).toBeInstanceOf(RangeError);
      expect(error.message).toMatch(
        /^Expected a Request or Response whose body nobody has read for source/,
      );
    }
  });

  it("of another status than 2xx is unreadable", async () => {
    const response = new Response("<html>", { status: 404, statusText: "Not Found" });
    await expectCode(preprocess(response), "IMAGE_UNREADABLE", "2xx but received 404 Not Found");
  });

  it("without a body is empty", async () => {
    await expectCode(preprocess(new Response(null)), "IMAGE_FORMAT", /^a Response: .* it is empty/);
    await expectCode(preprocess(new Request("http://localhost/")), "IMAGE_FORMAT", "a Request: ");
  });

  it("has at most maxBytes", async () => {
    const maxBytes = photo.length - 1;
    await expectCode(preprocess(new Response(photo), { maxBytes }), "IMAGE_TOO_LARGE");
  });
});

describe("pixels", () => {
  it("give what the same image in a file gives", async () => {
    for (const channels of [1, 3, 4] as const) {
      const image = sharp(drawing);
      const shaped =
        channels === 1
          ? image.toColourspace("b-w").removeAlpha()
          : channels === 3
            ? image.removeAlpha()
            : image.ensureAlpha();
      const { data, info } = await shaped.clone().raw().toBuffer({ resolveWithObject: true });
      expect(info.channels).toBe(channels);
      const expected = await cropOf(await shaped.clone().png().toBuffer());
      expectSame(await cropOf({ data, ...info, channels }), expected);
      expectSame(
        await cropOf({
          data: new Uint8ClampedArray(data),
          width: info.width,
          height: info.height,
          channels,
        }),
        expected,
      );
    }
  });

  it("of a canvas have four channels", async () => {
    const { data, info } = await sharp(photo)
      .ensureAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    class ImageData {
      get data() {
        return new Uint8ClampedArray(data);
      }
      get width() {
        return info.width;
      }
      get height() {
        return info.height;
      }
    }
    expectSame(await cropOf(new ImageData()), await cropOf(await sharp(photo).png().toBuffer()));
  });

  it("are copied at the call", async () => {
    const data = new Uint8Array(8 * 8 * 3).fill(200);
    const cropped = cropOf({ data, width: 8, height: 8, channels: 3 }, { resize: 8, crop: 8 });
    data.fill(0);
    expect(new Set(await cropped)).toEqual(new Set([200]));
  });

  const data = new Uint8Array(12);
  it.each<[string, object, typeof TypeError | typeof RangeError, string]>([
    [
      "of another size",
      { data, width: 2, height: 3, channels: 3 },
      RangeError,
      "Expected 3 × 2 × 3 = 18 samples for source.data but received 12",
    ],
    [
      "without channels",
      { data, width: 2, height: 2 },
      TypeError,
      "for source.channels but received undefined",
    ],
    [
      "of two channels",
      { data, width: 2, height: 3, channels: 2 },
      RangeError,
      "Expected 1, 3 or 4 for source.channels but received 2",
    ],
    ["of no width", { data, width: 0, height: 2, channels: 3 }, RangeError, "source.width"],
    ["of text as height", { data, width: 2, height: "2", channels: 3 }, TypeError, "source.height"],
    [
      "of floats",
      { data: new Float32Array(12), width: 2, height: 2, channels: 3 },
      TypeError,
      "Expected a Uint8Array or Uint8ClampedArray for source.data but received an instance of Float32Array",
    ],
  ])("are refused: %s", async (_, source, type, message) => {
    const error = await failure(preprocess(source as ImageSource));
    expect(error).toBeInstanceOf(type);
    expect(error.message).toContain(message);
  });

  it("have limits of pixels and bytes", async () => {
    const image = { data, width: 2, height: 2, channels: 3 } as const;
    await expectCode(
      preprocess(image, { maxPixels: 3 }),
      "IMAGE_TOO_LARGE",
      /^an image of 2 × 2 pixels: /,
    );
    await expectCode(preprocess(image, { maxBytes: 11 }), "IMAGE_TOO_LARGE");
    expect((await preprocess(image, { maxPixels: 4, maxBytes: 12 })).size).toBe(150_528);
  });
});

describe("a string that is no path", () => {
  it("is called base64 if it looks so, and cut in the message", async () => {
    for (const bytes of [
      photo,
      drawing,
      readFileSync(new URL("../golden/images/palette.gif", import.meta.url)),
    ]) {
      const error = await failure(preprocess(bytes.toString("base64")));
      expect(error.message).toContain('looks like base64: decode it with Buffer.from(…, "base64")');
      expect(error.message.length).toBeLessThan(400);
    }
    const short = await failure(preprocess(drawing.subarray(0, 60).toString("base64")));
    expect(short.message).toMatch(/^iVBOR.*: no such file; looks like base64/);
  });

  it("is cut to 200 characters, with its begin and its end", async () => {
    const name = `${"folder of images/".repeat(500)}cat.jpg`;
    const error = await failure(preprocess(name));
    expect(error.message).toMatch(/^folder of images.{83}….{93}cat\.jpg: (?!.*base64)/);
    const url = await failure(preprocess(`http://127.0.0.1:1/${"a".repeat(5000)}`));
    expect(url.message.length).toBeLessThan(300);
    const scheme = await failure(preprocess(`ftp://${"a".repeat(5000)}`));
    expect(scheme.message.length).toBeLessThan(300);
  });
});

describe("an array of images", () => {
  it("says which image of an array it is, unless that has a name of its own", async () => {
    const text = Buffer.from("not an image");
    const path = join(scratch, "text.jpg");
    writeFileSync(path, text);
    const stream = () => new Response(text).body as never;
    const cases: [ImageSource, string][] = [
      [text, "source[1], a buffer of 12 bytes: "],
      [new Uint8Array(text).buffer, "source[1], a buffer of 12 bytes: "],
      [
        `data:text/plain;base64,${text.toString("base64")}`,
        "source[1], a data URL of 39 characters: ",
      ],
      [stream(), "source[1], a stream: "],
      [Readable.from([text]), "source[1], a stream: "],
      [new Blob([text]), "source[1], a Blob of 12 bytes: "],
      [new File([text], "a.jpg"), 'source[1], the file "a.jpg": '],
      [new Response(text), "source[1], a Response: "],
      [path, `${path}: `],
    ];
    for (const [source, start] of cases) {
      const error: Error = await preprocess([drawing, source]).then(
        () => expect.fail(),
        (thrown) => thrown,
      );
      expect(error.message.slice(0, start.length)).toBe(start);
    }
    const pixels = { data: new Uint8Array(27), width: 3, height: 3, channels: 3 } as const;
    const refused = preprocess([{ ...pixels }, pixels], { maxPixels: 8 });
    await expectCode(refused, "IMAGE_TOO_LARGE", /^source\[0\], an image of 3 × 3 pixels: /);
    await expectCode(preprocess([text]), "IMAGE_FORMAT", /^a buffer of 12 bytes: /);
  });
});
