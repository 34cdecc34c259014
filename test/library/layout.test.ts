// The layout of the sources: no circular imports in lib.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const sources = readdirSync(join(root, "lib"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => join("lib", path));

/** The modules of lib that each one imports, types included. */
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

it("has no circular imports in lib", () => {
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
