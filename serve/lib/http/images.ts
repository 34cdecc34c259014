// Images of a request: the raw body, the files of a form, or `data:` URLs in JSON. Never a path or an address.
import { ServeError } from "../errors.js";
import { invalid, shown } from "../protocol/expected.js";
import { readBody } from "./body/body.js";
import type { Call, HttpLimits } from "./context.js";
import { bytesOfDataUrl } from "./data-url.js";
import { jsonLimit } from "./infer.js";
import { parseJson } from "./json.js";

/** The images of a request. */
export interface ReceivedImages {
  readonly images: readonly Uint8Array[];
  /** Whether the body is one image. The answer then is that of this image, not a list. */
  readonly isOne: boolean;
  /** Bytes of the body. */
  readonly bytes: number;
}

/** @throws {ServeError} INVALID, TOO_LARGE, or as `readBody` does */
export async function readImages(call: Call, limits: HttpLimits): Promise<ReceivedImages> {
  const received = await receiveImages(call, limits);
  call.set("uploadMs", performance.now() - call.get("startMs"));
  return received;
}

async function receiveImages(call: Call, limits: HttpLimits): Promise<ReceivedImages> {
  const type = call.req.header("content-type") ?? "";
  if (/^application\/json\b/i.test(type)) {
    const body = await readBody(call, jsonLimit(limits, "send images as raw bodies or as a form"));
    return { ...imagesOfJson(parseJson(body, "the body"), limits), bytes: body.length };
  }
  const body = await readBody(call, {
    bytes: limits.bodyBytes,
    advice: "; send fewer images in one request",
  });
  const bytes = body.length;
  if (/^multipart\//i.test(type))
    return { images: await imagesOfForm(call, body, type, limits), isOne: false, bytes };
  if (bytes === 0) throw new ServeError("INVALID", "Expected an image but the body is empty");
  return { images: [body], isOne: true, bytes };
}

function imagesOfJson(json: unknown, limits: HttpLimits): Pick<ReceivedImages, "images" | "isOne"> {
  const isOne = typeof json === "string";
  const list = isOne ? [json] : json;
  if (!Array.isArray(list)) throw invalid("a data: URL, or a list of them,", "the body", json);
  checkCount(list.length, limits);
  const images = list.map((url, index) => {
    if (typeof url === "string" && url.startsWith("data:"))
      return bytesOfDataUrl(url, `image ${index}`);
    throw invalid("a data: URL", `image ${index}`, url);
  });
  return { images, isOne };
}

async function imagesOfForm(
  call: Call,
  body: Uint8Array<ArrayBuffer>,
  type: string,
  limits: HttpLimits,
): Promise<Uint8Array[]> {
  checkParts(body, type, limits);
  // The files are copies.
  call.get("body").take(body.length);
  const form = await new Response(body, { headers: { "Content-Type": type } })
    .formData()
    .catch((cause) => {
      throw new ServeError(
        "INVALID",
        "Expected a form (multipart/form-data) but the body is none",
        {
          cause,
        },
      );
    });
  const files = [...form.entries()].map(([name, file]) => {
    if (typeof file !== "string") return file;
    throw new ServeError("INVALID", `Expected a file for part ${shown(name)} but it is a text`);
  });
  checkCount(files.length, limits);
  return Promise.all(files.map(async (file) => new Uint8Array(await file.arrayBuffer())));
}

/** Counts what may be parts before they are parsed: a form of a million empty parts would take long. */
function checkParts(body: Uint8Array, type: string, limits: HttpLimits): void {
  const quoted = /boundary=(?:"([^"]{1,70})"|([^;\s]{1,70}))/i.exec(type);
  const boundary = quoted?.[1] ?? quoted?.[2];
  if (boundary === undefined) throw invalid("a form with a boundary", "Content-Type", type);
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
  let count = 0;
  // The last boundary ends the form.
  for (let at = bytes.indexOf(`--${boundary}`); at !== -1; count++) {
    checkCount(Math.max(1, count), limits);
    at = bytes.indexOf(`--${boundary}`, at + boundary.length + 2);
  }
}

function checkCount(images: number, { imagesPerRequest }: HttpLimits): void {
  if (images < 1) throw new ServeError("INVALID", "Expected an image but the request has none");
  if (images > imagesPerRequest)
    throw new ServeError("TOO_LARGE", `Expected at most ${imagesPerRequest} images in one request`);
}
