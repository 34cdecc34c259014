// The images of a BYTES tensor: files' bytes, or base64. Never a path or an address: the server fetches nothing.
import { ServeError } from "../errors.js";
import { invalid } from "../protocol/expected.js";
import type { InputTensor } from "../protocol/types.js";

/** @throws {ServeError} INVALID */
export function imagesOf({ name, data, parameters }: InputTensor): readonly Uint8Array[] {
  const elements = data as readonly Uint8Array[];
  const { content_type: type } = parameters;
  if (type !== undefined && typeof type !== "string")
    throw invalid("a text", `content_type of input ${name}`, type);
  return elements.map((bytes, index) => {
    const place = `element ${index} of input ${name}`;
    if (bytes.length === 0)
      throw new ServeError("INVALID", `Expected an image but ${place} is empty`);
    const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 128)).toString(
      "latin1",
    );
    if (/^(https?|file|s3|gs):\/\//i.test(head))
      throw new ServeError(
        "INVALID",
        `Expected the bytes of an image but ${place} is an address; the server fetches nothing`,
      );
    if (/^data:/i.test(head)) return fromBase64(afterComma(bytes, place), place);
    return type === "base64" ? fromBase64(bytes, place) : bytes;
  });
}

function afterComma(bytes: Uint8Array, place: string): Uint8Array {
  const comma = bytes.subarray(0, 256).indexOf(",".charCodeAt(0));
  const head = Buffer.from(bytes.subarray(0, Math.max(comma, 0))).toString("latin1");
  if (!/;base64$/i.test(head))
    throw new ServeError("INVALID", `Expected a data: URL in base64 for ${place}`);
  return bytes.subarray(comma + 1);
}

function fromBase64(bytes: Uint8Array, place: string): Uint8Array {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    .toString("latin1")
    .replace(/\s/g, "");
  const decoded = Buffer.from(text, "base64");
  // Node skips what is no base64. Then fewer bytes come out than the characters stand for.
  const characters = text.replace(/=+$/, "").length;
  if (decoded.length === 0 || decoded.length !== Math.floor((characters * 3) / 4))
    throw new ServeError("INVALID", `Expected base64 for ${place}`);
  return decoded;
}
