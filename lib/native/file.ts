// The file of an addon: for which platform it is, and whether it can be loaded. A file that cannot may end the process or block it.
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { arch, platform } from "node:process";

/** Enough for the header of each format, and for the segments of an ELF file. */
const headBytes = 4096;

const elf = 0x7f454c46;
const machines = new Map([
  ["elf 3", "ia32"],
  ["elf 40", "arm"],
  ["elf 62", "x64"],
  ["elf 183", "arm64"],
  ["elf 243", "riscv64"],
  ["elf 258", "loong64"],
  ["mach-o 16777223", "x64"],
  ["mach-o 16777228", "arm64"],
  ["pe 332", "ia32"],
  ["pe 34404", "x64"],
  ["pe 43620", "arm64"],
]);

const systems = { elf: "linux", "mach-o": "darwin", pe: "win32" } as const;

interface Format {
  readonly format: keyof typeof systems;
  /** As Node names it; undefined if it is unknown here or the file is for several. */
  readonly arch: string | undefined;
}

/** Reads the format and the processor from the first bytes of a file; undefined if it is no library. */
function formatOf(head: Buffer): Format | undefined {
  if (head.length < 64) return undefined;
  const first = head.readUInt32BE(0);
  let format: Format["format"];
  let machine: number;
  if (first === elf) {
    format = "elf";
    machine = head[5] === 2 ? head.readUInt16BE(18) : head.readUInt16LE(18);
  } else if (first === 0xcffaedfe) {
    format = "mach-o";
    machine = head.readUInt32LE(4);
  } else if (first === 0xcafebabe) return { format: "mach-o", arch: undefined };
  else {
    const start = head.readUInt32LE(60);
    if (head.toString("latin1", 0, 2) !== "MZ" || start > head.length - 6) return undefined;
    if (head.toString("latin1", start, start + 4) !== "PE\0\0") return undefined;
    format = "pe";
    machine = head.readUInt16LE(start + 4);
  }
  return { format, arch: machines.get(`${format} ${machine}`) };
}

/** Returns how many bytes an ELF file of 64 bits has by its tables; 0 for other files. */
function elfBytes(head: Buffer): number {
  const isPlain = head.readUInt32BE(0) === elf && head[4] === 2 && head[5] === 1;
  if (!isPlain) return 0;
  const sections = head.readUInt16LE(58) * head.readUInt16LE(60);
  let end = Number(head.readBigUInt64LE(40)) + sections;
  const size = head.readUInt16LE(54);
  let at = Number(head.readBigUInt64LE(32));
  for (let left = head.readUInt16LE(56); left > 0; left--, at += size) {
    if (size < 56 || at > head.length - 56) break;
    const isLoaded = head.readUInt32LE(at) === 1;
    const segment = head.readBigUInt64LE(at + 8) + head.readBigUInt64LE(at + 32);
    if (isLoaded) end = Math.max(end, Number(segment));
  }
  return end;
}

/** Returns what is wrong with the content of a file; undefined if nothing is. */
function faultOfContent(head: Buffer, size: number): string | undefined {
  if (size === 0) return "Expected an addon but the file is empty";
  const found = formatOf(head);
  if (found === undefined) return "Expected an addon but the file is no library, or is damaged";
  const own = platform === "darwin" ? "mach-o" : platform === "win32" ? "pe" : "elf";
  if (found.format !== own || (found.arch !== undefined && found.arch !== arch)) {
    const name = `${systems[found.format]}${found.arch === undefined ? "" : `-${found.arch}`}`;
    return `Expected an addon for ${platform}-${arch} but the file is for ${name}`;
  }
  const bytes = elfBytes(head);
  // The system's loader maps what a truncated file lacks, and reading it raises SIGBUS.
  if (bytes > size)
    return `Expected a whole addon but the file is truncated: it has ${size} of at least ${bytes} bytes`;
  return undefined;
}

function readHead(path: string): { head: Buffer; size: number } {
  const file = openSync(path, "r");
  try {
    const head = Buffer.alloc(headBytes);
    const length = readSync(file, head, 0, headBytes, 0);
    return { head: head.subarray(0, length), size: fstatSync(file).size };
  } finally {
    closeSync(file);
  }
}

/**
 * Returns why a file cannot be this system's addon. Undefined if nothing is wrong with it, or if it cannot be read: loading
 * it then says why. It takes a tenth of a millisecond.
 */
export function faultOfFile(path: string): string | undefined {
  try {
    const status = statSync(path);
    if (status.isDirectory()) return "Expected a file but it is a folder";
    // To open a pipe would wait for its writer.
    if (!status.isFile()) return "Expected a file but it is a pipe, a socket or a device";
    const { head, size } = readHead(path);
    return faultOfContent(head, size);
  } catch {
    return undefined;
  }
}

/** Returns the platform of an addon, such as "linux-x64-gnu"; null if its content does not tell. */
export function platformOfAddon(content: Buffer): string | null {
  const found = formatOf(content.subarray(0, headBytes));
  if (found?.arch === undefined) return null;
  const name = `${systems[found.format]}-${found.arch}`;
  if (found.format !== "elf") return name;
  // The first library that a linker names for each C library.
  if (content.includes("\0libc.so.6\0")) return `${name}-gnu`;
  const isMusl = content.includes("\0libc.so\0") || content.includes("\0libc.musl-");
  return isMusl ? `${name}-musl` : name;
}
