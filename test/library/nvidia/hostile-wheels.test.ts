// Wheels that are not what the table says: damaged, hostile or others. Nothing of them is placed.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { installFiles } from "../../../lib/nvidia/install.ts";
import { IndexServer } from "../../support/index-server.ts";
import { contentOf, type MadeWheel, makeWheel } from "../../support/wheels.ts";
import type { ZipEntry } from "../../support/zip.ts";

const root = mkdtempSync(join(tmpdir(), "vgg-hostile-wheels-"));
const environment = { PIP_CONFIG_FILE: "/dev/null", HOME: root };
let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(root, "to-"));
});
afterAll(() => rmSync(root, { recursive: true }));

const name = "libone.so.1";
const content = contentOf(40_000);
const files = { [name]: content };
const make = (options?: Parameters<typeof makeWheel>[2]) =>
  makeWheel("nvidia-one", { "stored.so": contentOf(9_000, 3), ...files }, options);

/** Changes the entry of the library. */
const changed = (change: (entry: ZipEntry) => Partial<ZipEntry>) => (entries: ZipEntry[]) =>
  entries.map((entry) => (entry.name.endsWith(name) ? { ...entry, ...change(entry) } : entry));
const packedAs = (packed: Uint8Array) => make({ entries: changed(() => ({ packed })) });

/** Changes the first member that the table has, or the last one. */
function withMember(made: MadeWheel, change: object): MadeWheel {
  const [first, last] = made.wheel.members;
  return { ...made, wheel: { ...made.wheel, members: [first!, { ...last!, ...change }] } };
}

/** Where the directory's entry of the library begins. */
const centralOf = (bytes: Buffer) => bytes.lastIndexOf(`nvidia/lib/${name}`) - 46;

/** Writes a number into the directory's entry of the library. */
const inDirectory = (offset: number, value: number) =>
  make({
    damage: (bytes) => {
      bytes.writeUInt32LE(value, centralOf(bytes) + offset);
      return bytes;
    },
  });

const deflated = deflateRawSync(content);
const cases: readonly (readonly [string, MadeWheel, string])[] = [
  ["with another hash of the file", withMember(make(), { sha256: "0".repeat(64) }), "the SHA-256"],
  ["with another size of the file", withMember(make(), { size: 1 }), "Expected 1 bytes for"],
  ["without the file", withMember(make(), { path: "nvidia/lib/other.so" }), "but found none"],
  ["with a wrong checksum", make({ entries: changed(() => ({ crc: 1 })) }), "the CRC-32 1 but"],
  ["that inflates to more", packedAs(deflateRawSync(Buffer.alloc(60_000))), "received more"],
  ["that inflates to gigabytes", packedAs(bomb()), "received more"],
  [
    "that inflates to less",
    packedAs(deflateRawSync(Buffer.alloc(9))),
    "40000 bytes but received 9",
  ],
  ["that is no deflated data", packedAs(Buffer.alloc(99, 0xff)), "Expected deflated data"],
  ["whose deflated data ends early", packedAs(deflated.subarray(0, -50)), "Expected deflated data"],
  [
    "with bytes after the deflated data",
    packedAs(Buffer.concat([deflated, Buffer.alloc(99)])),
    "deflated bytes but received",
  ],
  ["that is encrypted", make({ flags: 1 }), "is encrypted"],
  ["with another compression", make({ method: 12 }), "its method is 12"],
  ["with a file twice", make({ entries: (all) => [...all, all[1]!] }), "but received two"],
  ["with a truncated directory", make({ damage: (bytes) => bytes.subarray(0, -30) }), "directory"],
  ["without a directory", make({ damage: (bytes) => bytes.subarray(0, 5_000) }), "directory"],
  ["whose file begins within another", inDirectory(42, 9), "overlap|further|header"],
  ["whose file begins where another does", inDirectory(42, 0), "overlap"],
  ["whose file begins in the directory", inDirectory(42, 0x7fffffff), "reaches further"],
  ["whose file reaches into the next", inDirectory(20, 0x7fffffff), "reaches further"],
  ["whose file has another size in it", inDirectory(24, 7), "but found 7"],
  [
    "whose file has another header",
    make({
      damage: (bytes) => {
        bytes[bytes.indexOf(`nvidia/lib/${name}`)] = 0x4e;
        return bytes;
      },
    }),
    "to agree with the directory",
  ],
  [
    "with a directory of another place",
    make({
      damage: (bytes) => {
        bytes.writeUInt32LE(0xfffffff0, bytes.length - 6);
        return bytes;
      },
    }),
    "directory",
  ],
];

/** Deflated zeros that inflate to 1 GB. */
function bomb(): Buffer {
  return deflateRawSync(Buffer.alloc(2 ** 30), { level: 9, chunkSize: 2 ** 20 });
}

const run = (made: MadeWheel, index: string) =>
  installFiles({ folder, wheels: [made.wheel], index, environment, retryDelayMs: 1 });

describe.each([true, false])("a wheel (ranges: %s)", (hasRanges) => {
  it.each(cases)("%s is refused", async (_, made, message) => {
    await using server = await new IndexServer([made]).start();
    server.hasRanges = hasRanges;
    const error = await run(made, server.index).catch((error) => error);
    expect(error).toMatchObject({ code: "HASH_MISMATCH" });
    expect(error.message).toMatch(new RegExp(message));
    const kept = readdirSync(folder).filter((file) => file !== "stored.so");
    // Only whole files, and what came of others, may stay.
    expect(kept.filter((file) => !/\.part(\.json)?$/.test(file))).toEqual([]);
    expect(kept.filter((file) => file.startsWith(name))).toEqual([]);
  });

  it("with names that lead out of the folder places what is asked for, and nothing else", async () => {
    const more = ["../evil", "/tmp/evil", "C:\\evil", "nvidia/lib/evil"];
    const made = make({
      entries: (all) => [...more.map((name) => ({ name, data: content })), ...all],
    });
    await using server = await new IndexServer([made]).start();
    server.hasRanges = hasRanges;
    await run(made, server.index);
    expect(readdirSync(folder).sort()).toEqual([name, "stored.so"]);
    expect(readdirSync(root).includes("evil")).toBe(false);
  });
});

describe("another file under the wheel's name", () => {
  it("is refused before a download if the index says its hash or size", async () => {
    const made = make();
    await using server = await new IndexServer([made]).start();
    for (const listed of [{ sha256: "1".repeat(64) }, { size: 7 }]) {
      server.listed = () => listed;
      await expect(run(made, server.index)).rejects.toMatchObject({
        code: "HASH_MISMATCH",
        message: expect.stringContaining("the index says"),
      });
    }
    expect(server.ranges).toEqual([]);
    server.listed = () => ({});
    await run(made, server.index);
  });

  it("is refused if its size differs on the server", async () => {
    const made = make();
    const other = { ...made, bytes: Buffer.concat([made.bytes, Buffer.alloc(1)]) };
    await using server = await new IndexServer([other]).start();
    await expect(run(made, server.index)).rejects.toMatchObject({
      code: "HASH_MISMATCH",
      message: expect.stringContaining(`but the server has ${other.bytes.length}`),
    });
    server.hasRanges = false;
    await expect(run(made, server.index)).rejects.toMatchObject({ code: "HASH_MISMATCH" });
  });

  it("is refused by its hash if it comes whole", async () => {
    const made = make();
    const bytes = Buffer.from(made.bytes);
    bytes[40]! ^= 1; // in a file that is not installed
    await using server = await new IndexServer([{ ...made, bytes }]).start();
    server.hasRanges = false;
    await expect(run(made, server.index)).rejects.toMatchObject({
      code: "HASH_MISMATCH",
      message: expect.stringMatching(/nothing was kept$/),
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  it("is replaced if an earlier call left a part of it", async () => {
    const made = make();
    const [, member] = made.wheel.members;
    const part = join(folder, `${name}.${member!.sha256.slice(0, 8)}.part`);
    writeFileSync(part, Buffer.alloc(1000, 7));
    await using server = await new IndexServer([made]).start();
    await run(made, server.index);
    expect(readdirSync(folder).sort()).toEqual([name, "stored.so"]);
  });
});
