// Reads the markers of a JPEG and limits its scans' passes over the coefficients and their coded data.
import { ExcessiveWork } from "./pieces.js";

const maxSegments = 65_536;

/**
 * The most passes of a progressive JPEG. They cost as much as two more plain files and 50 ms. A scan without data costs
 * a decoder 0.1 ms for each megapixel and component. A plain progressive JPEG costs 9 ms a megapixel, a plain baseline
 * one 4 ms.
 */
const maxPasses = (pixels: number) => 40 + Math.ceil(500e6 / pixels);

/** The most passes of a sequential JPEG. Components that have separate scans come once each. */
const maxSequentialPasses = 16;

/** The most coded data. It costs 14 ns a byte. Noise in quality 100 has 4 bytes a pixel. */
const maxCodedBytes = (pixels: number) => 8 * pixels + 2 ** 20;

/** Returns the position of the next FF, or the end. A near one is found faster without a call into native code. */
function nextMarker(bytes: Buffer, from: number): number {
  const near = Math.min(from + 16, bytes.length);
  for (let at = from; at < near; ++at) if (bytes[at] === 0xff) return at;
  const found = bytes.indexOf(0xff, near);
  return found < 0 ? bytes.length : found;
}

/** Whether a marker has no segment: in coded data, and FF01 to FFBF, which decoders skip or refuse. */
const isAlone = (marker: number) => marker < 0xc0 || marker === 0xff || (marker & 0xf8) === 0xd0;

/** Checks the work of decoding. @returns the bytes @throws {ExcessiveWork} */
export function checkJpeg(bytes: Buffer): Buffer {
  let pixels = 0;
  let components = 0;
  let isProgressive = false;
  let segments = 0;
  let passes = 0;
  let coded = 0;
  let mostCoded = Number.POSITIVE_INFINITY;
  let at = 2;
  while (at + 4 <= bytes.length) {
    const marker = bytes[at + 1]!;
    if (bytes[at] !== 0xff || isAlone(marker)) {
      const next = nextMarker(bytes, at + 1);
      coded += next - at;
      if (coded > mostCoded) {
        throw new ExcessiveWork(`at most ${mostCoded} bytes of JPEG scans`, "more");
      }
      at = next;
      continue;
    }
    const isEnd = marker === 0xd9;
    if (isEnd) return bytes;
    if (++segments > maxSegments) {
      throw new ExcessiveWork(`at most ${maxSegments} JPEG segments`, "more");
    }
    const length = bytes.readUInt16BE(at + 2);
    const isFrame = (marker & 0xf0) === 0xc0 && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame && pixels === 0 && at + 10 <= bytes.length) {
      pixels = Math.max(1, bytes.readUInt16BE(at + 5) * bytes.readUInt16BE(at + 7));
      mostCoded = maxCodedBytes(pixels);
      components = bytes[at + 9]!;
      isProgressive = (marker & 3) === 2;
    }
    if (marker === 0xda) {
      const own = bytes[at + 4] ?? 0;
      // A decoder reads no second scan after a first one with all components.
      const isOnly = passes === 0 && !isProgressive && own === components;
      if (pixels === 0 || isOnly) return bytes;
      passes += own;
      const most = isProgressive ? maxPasses(pixels) : maxSequentialPasses;
      if (passes > most) {
        const expected = `at most ${most} passes over the components of a JPEG of ${pixels} pixels`;
        throw new ExcessiveWork(expected, "more");
      }
    }
    at += 2 + length;
  }
  return bytes;
}

/** Whether a JPEG has Adobe's marker, by which libvips knows that 255 means no ink. */
export function hasAdobeMarker(bytes: Buffer): boolean {
  let at = 2;
  while (at + 12 <= bytes.length) {
    const marker = bytes[at + 1]!;
    if (bytes[at] !== 0xff || isAlone(marker)) {
      at = nextMarker(bytes, at + 1);
      continue;
    }
    if (marker === 0xda) return false;
    if (marker === 0xee && bytes.toString("latin1", at + 4, at + 9) === "Adobe") return true;
    at += 2 + bytes.readUInt16BE(at + 2);
  }
  return false;
}
