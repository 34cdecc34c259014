// Files that are replaced whole: links, leftovers of killed processes, and round trips of everything that is written.
import { execFile } from "node:child_process";
import {
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import fc from "fast-check";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { writePytorch } from "../../../lib/checkpoint/pytorch/write.ts";
import { newPartName } from "../../../lib/files/part-name.ts";
import { replaceFile } from "../../../lib/files/replace.ts";
import { readCheckpoint, Tensor, writeSafetensors } from "../../../lib/index.ts";

const root = mkdtempSync(join(tmpdir(), "vgg-replace-"));
afterAll(() => rmSync(root, { recursive: true }));
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(root, "f-"));
});
const at = (...names: string[]) => join(folder, ...names);
const put = (path: string, text = "new") =>
  replaceFile(path, (file) => file.write(Buffer.from(text)));
const textOf = (path: string) => readFileSync(path, "utf8");

describe("a saved file", () => {
  it("replaces a link's target through a chain and a linked folder, and keeps the links", async () => {
    mkdirSync(at("deep", "inner"), { recursive: true });
    symlinkSync("deep/inner", at("folder"));
    symlinkSync("folder/second", at("first"));
    symlinkSync("../target", at("deep", "inner", "second"));
    for (const text of ["dangling", "there"]) {
      await put(at("first"), text);
      expect(textOf(at("deep", "target"))).toBe(text);
      expect(lstatSync(at("first")).isSymbolicLink()).toBe(true);
      expect(readlinkSync(at("deep", "inner", "second"))).toBe("../target");
    }
    expect(readdirSync(at("deep")).sort()).toEqual(["inner", "target"]);
  });

  it("does not replace a folder, a link to a folder, or a circle of links", async () => {
    mkdirSync(at("folder"));
    symlinkSync("folder", at("link"));
    for (const name of ["folder", "link"])
      await expect(put(at(name))).rejects.toThrow("Expected a regular file for path");
    symlinkSync("b", at("a"));
    symlinkSync("a", at("b"));
    await expect(put(at("a"))).rejects.toMatchObject({ code: "FOLDER_UNUSABLE" });
    symlinkSync("nowhere/file", at("lost"));
    await expect(put(at("lost"))).rejects.toMatchObject({ code: "FOLDER_UNUSABLE" });
  });

  it("leaves the old content to other hard links", async () => {
    writeFileSync(at("a"), "old");
    linkSync(at("a"), at("b"));
    await put(at("a"));
    expect([textOf(at("a")), textOf(at("b"))]).toEqual(["new", "old"]);
  });

  it("is written under Node.js's permission model too", async () => {
    writeFileSync(at("a.safetensors"), "old");
    const code = `const { Tensor, writeSafetensors } = await import(${JSON.stringify(new URL("../../../dist/index.js", import.meta.url).href)});
      await writeSafetensors(${JSON.stringify(at("a.safetensors"))}, { a: new Tensor([1], Float32Array.of(7)) });
      await writeSafetensors("/vgg-refused", {}).catch(({ code }) => console.log(code));`;
    const flags = [
      "--experimental-permission",
      "--allow-fs-read=*",
      `--allow-fs-write=${folder}/*`,
    ];
    const args = [...flags, "--allow-addons", "--input-type=module", "-e", code];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    expect(stdout).toBe("FOLDER_UNUSABLE\n");
    expect((await readCheckpoint(at("a.safetensors"))).get("a")!.data).toEqual(Float32Array.of(7));
  });
});

describe("partial files", () => {
  const day = 24 * 60 * 60 * 1000;
  const age = (name: string, ms: number) => {
    writeFileSync(at(name), "");
    const date = new Date(Date.now() - ms);
    utimesSync(at(name), date, date);
  };

  it("of dead processes, or older than a day, are removed by the next save, and no others", async () => {
    const own = await newPartName();
    const isLinux = process.platform === "linux";
    const [, home, , start] =
      own.slice(5).split("-").length === 4 ? ["", ...own.slice(5).split("-")] : [];
    const foreign = `.vgg-00000000-1-1-${"0".repeat(12)}.part`;
    age(own, 2 * day);
    age(foreign, day / 2);
    age(`.vgg-${"1".repeat(12)}.part`, 2 * day);
    age(`.vgg-00000000-1-1-${"2".repeat(12)}.part`, 2 * day);
    age(".vgg-of-another-program.part", 2 * day);
    const kept = [own, foreign, ".vgg-of-another-program.part"];
    if (isLinux) {
      age(`.vgg-${home}-4194305-${start}-${"3".repeat(12)}.part`, 0); // above the largest id
      age(`.vgg-${home}-${process.pid}-1-${"4".repeat(12)}.part`, 0); // an earlier process's id
    }
    await put(at("file"));
    expect(new Set(readdirSync(folder))).toEqual(new Set([...kept, "file"]));
  });

  it("are removed by the process itself when it ends, or by the next save if it was killed", async () => {
    const code = `const { replaceFile } = await import(${JSON.stringify(new URL("../../../dist/files/replace.js", import.meta.url).href)});
      await replaceFile(${JSON.stringify(at("file"))}, async (file) => {
        await file.write(Buffer.alloc(1000));
        process.PLACE;
      });`;
    const partials = () => readdirSync(folder).filter((name) => name.endsWith(".part"));
    const run = (end: string) =>
      promisify(execFile)(process.execPath, [
        "--input-type=module",
        "-e",
        code.replace("process.PLACE", end),
      ]).catch((error) => error);
    expect((await run("process.kill(process.pid, 'SIGKILL')")).signal).toBe("SIGKILL");
    expect(partials()).toHaveLength(1);
    // Without /proc it is unknown that the process has ended.
    if (process.platform === "linux") await put(at("file"));
    else rmSync(at(partials()[0]!));
    expect(partials()).toEqual([]);
    rmSync(at("file"), { force: true });
    expect((await run("process.exit(3)")).code).toBe(3);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
      const { signal: ended } = await run(`process.kill(process.pid, "${signal}");
        await new Promise((resolve) => setTimeout(resolve, 60_000));`);
      expect(ended).toBe(signal);
    }
    // signal-exit ends a process if nobody else listens, so it does not count as a handler of the signal.
    const other = new URL("../../../node_modules/signal-exit/dist/mjs/index.js", import.meta.url)
      .href;
    const both = await run(`(await import(${JSON.stringify(other)})).onExit(() => {});
      process.kill(process.pid, "SIGTERM");
      await new Promise((resolve) => setTimeout(resolve, 60_000));`);
    expect(both.signal).toBe("SIGTERM");
    expect(readdirSync(folder)).toEqual([]);
    // A program that listens to the signal continues, and so does its save.
    const { stdout } = await run(`process.once("SIGTERM", () => console.log("heard"));
      process.kill(process.pid, "SIGTERM");
      await new Promise((resolve) => setTimeout(resolve, 100));`);
    expect(stdout).toBe("heard\n");
    expect(readdirSync(folder)).toEqual(["file"]);
  });
});

describe("what is written", () => {
  const name = fc.oneof(
    fc.string({ unit: "binary", maxLength: 12 }),
    fc.constantFrom("", "__proto__", "7", "\ud800", "a/b", "\0", "labels", "x".repeat(70_000)),
  );
  const shape = fc.oneof(
    fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 5 }),
    fc.constantFrom(
      [0, 2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1],
      [0, 2 ** 31],
      new Array(17).fill(1),
      new Array(16).fill(1),
    ),
  );
  const dtype = fc.constantFrom("float32", "bfloat16", "int64", "bool", "float64" as const);
  const entries = fc.uniqueArray(fc.tuple(name, shape, dtype as fc.Arbitrary<"float32">), {
    selector: ([key]) => key,
    maxLength: 6,
  });
  const metadata = fc.dictionary(name, fc.string({ unit: "binary", maxLength: 20 }), {
    maxKeys: 3,
  });

  it.each(["safetensors", "pth"])(
    "as %s is read back unchanged, or is refused beforehand",
    async (format) => {
      const path = at(`file.${format}`);
      await fc.assert(
        fc.asyncProperty(entries, metadata, async (list, strings) => {
          rmSync(path, { force: true });
          let tensors: Map<string, Tensor>;
          try {
            tensors = new Map(list.map(([key, sizes, type]) => [key, Tensor.zeros(sizes, type)]));
          } catch {
            return; // no such tensor
          }
          const lazy = new Map(
            [...tensors].map(([key, tensor]) => [
              key,
              { shape: tensor.shape, dtype: tensor.dtype, read: async () => tensor },
            ]),
          );
          const error = await (format === "pth"
            ? writePytorch(path, lazy)
            : writeSafetensors(path, tensors, { metadata: strings })
          ).catch((reason) => reason);
          if (error !== undefined) {
            expect(error).toBeInstanceOf(RangeError);
            expect(error.message).toMatch(/^Expected /);
            expect(readdirSync(folder)).toEqual([]);
            return;
          }
          const back = await readCheckpoint(path);
          expect(new Set(back.keys())).toEqual(new Set(tensors.keys()));
          for (const [key, { shape: sizes, dtype: type, data }] of tensors) {
            expect(back.get(key)!.shape).toEqual(sizes);
            expect(back.get(key)!.dtype).toBe(type);
            expect(back.get(key)!.data).toEqual(data);
          }
        }),
        { numRuns: 150 },
      );
    },
  );

  it("may have a header of any length, even one that begins like a zip file", async () => {
    const path = at("file.safetensors");
    for (const bytes of [19_280, 19_280 + 65_536]) {
      const empty = JSON.stringify({ __metadata__: { x: "" } }).length;
      await writeSafetensors(path, {}, { metadata: { x: "y".repeat(bytes - empty) } });
      expect(readFileSync(path).toString("latin1", 0, 2)).toBe("PK");
      expect((await readCheckpoint(path)).size).toBe(0);
    }
  });

  it("is refused if no reader accepts its header, and leaves nothing behind", async () => {
    const path = at("file.safetensors");
    const huge = { metadata: { x: "y".repeat(16 * 2 ** 20) } };
    await expect(writeSafetensors(path, {}, huge)).rejects.toThrow(
      /^Expected names, shapes and metadata/,
    );
    const many = new Map(Array.from({ length: 100_000 }, (_, i) => [String(i), Tensor.zeros([0])]));
    await expect(writeSafetensors(path, many)).rejects.toThrow(
      /^Expected fewer than 100000 tensors/,
    );
    many.delete("5");
    await writeSafetensors(path, many);
    expect((await readCheckpoint(path)).size).toBe(99_999);
    expect(readdirSync(folder)).toEqual(["file.safetensors"]);
  });
});
