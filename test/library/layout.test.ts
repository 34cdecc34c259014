// The layout of the sources: no circular imports in the library or the server, no long file, no full folder, and what each file says first.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const sourcesOf = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"))
    .map((path) => join(folder, path));
/** Absent in the bundle for GPU servers. */
const server = existsSync(join(root, "serve/lib")) ? sourcesOf("serve/lib") : [];
const sources = [...sourcesOf("lib"), ...server];

/** The modules that each one imports by path, types included. */
const imports = new Map(
  sources.map((source) => [
    source,
    [...readFileSync(join(root, source), "utf8").matchAll(/from "(\.[^"]+)\.js"/g)].map(
      ([, path]) => `${relative("", join(dirname(source), path!))}.ts`,
    ),
  ]),
);

it("knows every import", () => {
  expect(sources.length).toBeGreaterThan(50);
  for (const [source, targets] of imports) {
    for (const target of targets) expect(imports.has(target), `${source}: ${target}`).toBe(true);
  }
});

it("has a server that imports the library by its name only, and a front end that knows no other", () => {
  for (const source of server) {
    const targets = imports.get(source)!;
    expect(targets.filter((target) => !target.startsWith("serve/lib/"))).toEqual([]);
    for (const [own, other] of [
      ["http", "grpc"],
      ["grpc", "http"],
    ])
      if (source.startsWith(`serve/lib/${own}/`))
        expect(targets.filter((target) => target.startsWith(`serve/lib/${other}/`))).toEqual([]);
    const names = read(source).matchAll(/from "(vgg-cudnn[^"]*)"/g);
    expect(
      [...new Set([...names].map(([, name]) => name))].filter((n) => n !== "vgg-cudnn"),
    ).toEqual([]);
  }
});

it("has no circular imports", () => {
  const finished = new Set<string>();
  const visit = (source: string, path: readonly string[]) => {
    if (finished.has(source)) return;
    const circle = [...path.slice(path.indexOf(source)), source];
    if (path.includes(source)) throw new Error(`Expected no circle: ${circle.join(" → ")}`);
    for (const target of imports.get(source)!) visit(target, [...path, source]);
    finished.add(source);
  };
  for (const source of sources) visit(source, []);
});

// An archive, such as the bundle for GPUs, has no list of tracked files.
const isClone = existsSync(join(root, ".git"));
const listed = isClone
  ? execFileSync("git", ["ls-files", "-z"], { cwd: root, encoding: "utf8" })
  : "";
const tracked = listed.split("\0").filter((path) => path !== "" && existsSync(join(root, path)));
const files = tracked.filter((path) => /\.(ts|mjs|cc|h|cu|py|sh)$/.test(path));
const read = (path: string) => readFileSync(join(root, path), "utf8");

describe.skipIf(!isClone)("every source file", () => {
  const maxLines = 350;

  it(`has at most ${maxLines} lines`, () => {
    const lines = (path: string) => read(path).split("\n").length - 1;
    // protoc-gen-es writes one file for each .proto.
    const written = files.filter((path) => !path.startsWith("serve/lib/grpc/gen/"));
    expect(written.filter((path) => lines(path) > maxLines)).toEqual([]);
  });

  it("opens with a comment that says what it holds, or has a header that does", () => {
    const comment = (path: string) =>
      /\.(py|sh)$/.test(path) ? /^(#!.*\n)?(# ?\w|""")/ : /^(#!.*\n)?\/[/*]/;
    const silent = files.filter(
      (path) =>
        !comment(path).test(read(path)) &&
        !(path.endsWith(".cc") && files.includes(path.replace(/\.cc$/, ".h"))),
    );
    expect(silent).toEqual([]);
  });
});

describe.skipIf(!isClone)("every folder", () => {
  const maxFiles = 25;
  /** Folders of data, each with the reason. */
  const data = new Map([
    [
      "test/golden",
      "answers of PyTorch, made by its own scripts and named by the tests that read them",
    ],
    ["bench/results", "one file a machine, written by a benchmark"],
    ["docs/images", "the figures of one page, written by bench/report.mjs"],
  ]);

  it(`has at most ${maxFiles} files side by side`, () => {
    const counts = new Map<string, number>();
    for (const path of tracked ?? []) {
      if ([...data.keys()].some((folder) => path.startsWith(`${folder}/`))) continue;
      counts.set(dirname(path), (counts.get(dirname(path)) ?? 0) + 1);
    }
    expect([...counts].filter(([, count]) => count > maxFiles)).toEqual([]);
    for (const folder of data.keys()) expect(existsSync(join(root, folder)), folder).toBe(true);
  });
});
