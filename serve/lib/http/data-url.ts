// `data:` URLs, the only form in which JSON holds an image.
import { invalid } from "../protocol/expected.js";

/**
 * Reads a `data:` URL in base64. Its media type is not trusted: the bytes say what they are.
 * @throws {ServeError} INVALID
 */
export function bytesOfDataUrl(url: string, name: string): Uint8Array {
  const comma = url.indexOf(",");
  if (comma === -1 || !/;\s*base64$/i.test(url.slice(0, Math.min(comma, 256))))
    throw invalid("a data: URL in base64 (data:image/jpeg;base64,…)", name, url);
  return bytesOfBase64(url.slice(comma + 1), name);
}

/** Node skips what is no base64; fewer bytes than the length promises show it. */
function bytesOfBase64(text: string, name: string): Uint8Array {
  const compact = text.replace(/\s+/g, "");
  const unpadded = compact.replace(/={1,2}$/, "").length;
  const bytes = Buffer.from(compact, "base64");
  if (unpadded % 4 === 1 || bytes.length !== Math.floor((unpadded * 3) / 4))
    throw invalid("base64", name, text);
  return bytes;
}
