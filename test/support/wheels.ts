// Small wheels as NVIDIA's packages are laid out.
import { createHash } from "node:crypto";
import type { Wheel } from "../../lib/nvidia/types.ts";
import { type ZipEntry, zip } from "./zip.ts";

export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** Bytes that deflate to about half, and differ from seed to seed. */
export function contentOf(length: number, seed = 1): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, (_, i) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return i % 3 === 0 ? state >>> 24 : i % 9;
  });
}

export interface MadeWheel {
  readonly wheel: Wheel;
  readonly bytes: Buffer;
  /** The content of each library by its path once installed. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** The content by the path in the wheel, without RECORD. */
  readonly contents: ReadonlyMap<string, Uint8Array>;
}

/**
 * Makes a wheel (PEP 427): libraries, a licence, and a RECORD with the hash of each.
 * @param libraries the content by the installed file's path. A path that begins with "stored" is not compressed.
 */
export function makeWheel(
  name: string,
  libraries: Readonly<Record<string, Uint8Array>>,
  options: Parameters<typeof zip>[1] & {
    version?: string;
    /** The folder of the libraries in the wheel. */
    at?: string;
    /** The architecture of the tag. */
    machine?: string;
    /** Changes the archive's entries. */
    entries?: (entries: ZipEntry[]) => ZipEntry[];
    /** Changes the archive's bytes. */
    damage?: (bytes: Buffer) => Buffer;
  } = {},
): MadeWheel {
  const { version = "1.2.3", at = "nvidia/lib", machine = "x86_64", ...others } = options;
  const { entries = (same) => same, damage = (same) => same, ...rest } = others;
  const stem = `${name.replaceAll("-", "_")}-${version}`;
  const info = `${stem}.dist-info`;
  const members = Object.entries(libraries).map(([to, data]) => ({
    ...{ path: `${at}/${to}`, to },
    ...{ sha256: sha256(data), size: data.length },
  }));
  const contents = new Map<string, Uint8Array>([
    ...[[`${info}/licenses/License.txt`, Buffer.from(`The licence of ${name}\n`)] as const],
    ...members.map(({ path, to }) => [path, libraries[to]!] as const),
    ...[[`${info}/METADATA`, Buffer.from(`Name: ${name}\nVersion: ${version}\n`)] as const],
  ]);
  const record = [...contents].map(([path, data]) => {
    const hash = createHash("sha256").update(data).digest("base64url");
    return `${path},sha256=${hash},${data.length}\n`;
  });
  const listed = [...contents].map(([path, data]) => ({
    ...{ name: path, data },
    deflate: !path.startsWith(`${at}/stored`),
  }));
  const last = {
    name: `${info}/RECORD`,
    data: Buffer.from(`${record.join("")}${info}/RECORD,,\n`),
  };
  const bytes = damage(zip(entries([...listed, last]), rest));
  const file = `${stem}-py3-none-manylinux_2_27_${machine}.whl`;
  const wheel = { name, version, file, sha256: sha256(bytes), size: bytes.length, members };
  return { wheel, bytes, files: new Map(Object.entries(libraries)), contents };
}
