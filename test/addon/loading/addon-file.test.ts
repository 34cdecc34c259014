// A file that is no addon of this machine gets a sentence. It neither ends the process nor blocks it.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { diagnose, version } from "../../../lib/index.ts";
import { faultOfFile, platformOfAddon } from "../../../lib/native/file.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const addon = diagnose().addon.path!;
const content = readFileSync(addon);
const system = `${process.platform}-${process.arch}`;
const isElf = process.platform === "linux";
const scratch = mkdtempSync(join(tmpdir(), "vgg-addon-file-"));
afterAll(() => rmSync(scratch, { recursive: true }));

/** Writes a file. @returns its path */
function file(name: string, bytes: Uint8Array | string): string {
  const path = join(scratch, name);
  writeFileSync(path, bytes);
  return path;
}

function run(command: string, VGG_ADDON: string) {
  return spawnSync(process.execPath, [join(root, "dist/cli/main.js"), command], {
    encoding: "utf8",
    timeout: 20_000,
    env: { ...process.env, VGG_ADDON },
  });
}

/** The first 64 bytes of a library of another system or processor. */
function header(changes: readonly (readonly [number, readonly number[]])[]): Buffer {
  const head = Buffer.alloc(256);
  for (const [at, bytes] of changes) head.set(bytes, at);
  return head;
}

describe.runIf(isElf)("a truncated addon", () => {
  it("is reported by every command, which ends without a signal", () => {
    const path = file("truncated.node", content.subarray(0, 1_000_000));
    for (const command of ["check", "doctor"]) {
      const { status, stdout, stderr } = run(command, path);
      expect(status).toBe(1);
      expect(`${stdout}${stderr}`.replace(/\s+/g, " ")).toMatch(
        /truncated: it has 1000000 of at least \d+ bytes/,
      );
    }
  });

  it("is told from the whole one at each length", () => {
    expect(faultOfFile(addon)).toBeUndefined();
    for (const length of [64, 100, 4095, 4096, 70_000, content.length - 1])
      expect(faultOfFile(file("part.node", content.subarray(0, length)))).toContain("truncated");
    for (const length of [1, 4, 63])
      expect(faultOfFile(file("part.node", content.subarray(0, length)))).toContain("no library");
    expect(faultOfFile(file("part.node", ""))).toContain("empty");
  });

  it("is told if only its table of segments says so", () => {
    const copy = Buffer.from(content);
    copy.fill(0, 40, 48);
    copy.writeUInt16LE(0, 60);
    expect(faultOfFile(file("stripped.node", copy))).toBeUndefined();
    expect(faultOfFile(file("part.node", copy.subarray(0, 1_000_000)))).toContain("truncated");
  });
});

describe("what is no addon of this machine", () => {
  it.runIf(isElf)("may be a pipe, which is not opened", () => {
    const path = join(scratch, "pipe.node");
    expect(spawnSync("mkfifo", [path]).status).toBe(0);
    const { status, signal, stderr } = run("check", path);
    expect([status, signal]).toEqual([1, null]);
    expect(stderr).toContain("pipe.node: Expected a file but it is a pipe, a socket or a device");
  });

  it("may be a folder", () => {
    const path = join(scratch, "folder.node");
    mkdirSync(path);
    const { status, stderr } = run("check", path);
    expect(status).toBe(1);
    expect(stderr).toContain("folder.node: Expected a file but it is a folder");
  });

  it("may be for another system or processor, which is named", () => {
    const elf = [0, [0x7f, 0x45, 0x4c, 0x46, 2, 1]] as const;
    const pe = (machine: readonly number[]) =>
      header([
        [0, [0x4d, 0x5a]],
        [60, [128]],
        [128, [0x50, 0x45, 0, 0, ...machine]],
      ]);
    const samples = {
      "linux-arm64": header([elf, [18, [183]]]),
      "linux-x64": header([elf, [18, [62]]]),
      "darwin-arm64": header([[0, [0xcf, 0xfa, 0xed, 0xfe, 12, 0, 0, 1]]]),
      "darwin-x64": header([[0, [0xcf, 0xfa, 0xed, 0xfe, 7, 0, 0, 1]]]),
      "win32-x64": pe([0x64, 0x86]),
      "win32-arm64": pe([0x64, 0xaa]),
    };
    for (const [name, bytes] of Object.entries(samples)) {
      const fault = faultOfFile(file("other.node", bytes));
      if (name === system) expect(fault).toBeUndefined();
      else expect(fault).toBe(`Expected an addon for ${system} but the file is for ${name}`);
    }
  });

  it("may be a text, or a file that is absent", () => {
    expect(faultOfFile(file("text.node", "not an addon"))).toContain("no library");
    expect(faultOfFile(file("text.node", "x".repeat(9999)))).toContain("no library");
    expect(faultOfFile(join(scratch, "absent.node"))).toBeUndefined();
  });
});

describe.runIf(isElf)("the platform of an addon", () => {
  it("has the C library whose name the file holds", () => {
    const elf = header([
      [0, [0x7f, 0x45, 0x4c, 0x46, 2, 1]],
      [18, [183]],
    ]);
    const platformWith = (names: string) =>
      platformOfAddon(Buffer.concat([elf, Buffer.from(`\0${names}\0`)]));
    expect(platformWith("libm.so.6\0libc.so.6")).toBe("linux-arm64-gnu");
    expect(platformWith("libc.so")).toBe("linux-arm64-musl");
    expect(platformWith("libc.musl-aarch64.so.1")).toBe("linux-arm64-musl");
    expect(platformWith("libm.so.6")).toBe("linux-arm64");
    expect(platformOfAddon(Buffer.from("no library"))).toBeNull();
  });
});

describe("the check of the addon's file", () => {
  it("takes less than a millisecond", () => {
    const copy = join(scratch, "copy.node");
    cpSync(addon, copy);
    const times = Array.from({ length: 9 }, () => {
      const start = performance.now();
      faultOfFile(copy);
      return performance.now() - start;
    });
    expect(Math.min(...times)).toBeLessThan(1);
  });
});

describe("an addon of other sources", () => {
  it("is refused with the names that it lacks, and gives no stack trace", () => {
    const copy = Buffer.from(content);
    for (let at = 0; ; ) {
      at = copy.indexOf("cpuInfo\0", at);
      if (at < 0) break;
      copy.write("cpuInfX", at);
    }
    const path = file("other-version.node", copy);
    for (const command of ["check", "doctor"]) {
      const { status, stdout, stderr } = run(command, path);
      const text = `${stdout}${stderr}`.replace(/\s+/g, " ");
      expect(status).toBe(1);
      expect(text).toContain(
        `Expected the addon of vgg-cudnn ${version} but it is of another version: it lacks cpuInfo`,
      );
      expect(text).not.toContain("TypeError");
    }
  });
});
