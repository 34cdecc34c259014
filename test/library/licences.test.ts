// Compares what is installed with the package, its names, versions and licences, with the committed list.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

interface Locked {
  readonly version: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
  /** A workspace of this repository. */
  readonly link?: boolean;
}

const root = new URL("../../", import.meta.url);
const text = readFileSync(new URL("package-lock.json", root), "utf8");
const all = JSON.parse(text).packages as Record<string, Locked>;
const { "": own, serve, ...others } = all as Record<string, Locked> & { "": Locked; serve: Locked };
const locked = Object.fromEntries(Object.entries(others).filter(([, { link }]) => link !== true));
const nameOf = (path: string) => path.slice(path.lastIndexOf("node_modules/") + 13);

/** The path of what a package gets when it imports another: in its own folder, or in one around it. */
function pathOf(name: string, importer: string): string | undefined {
  const parts = importer.split(/(?=\/node_modules\/)/);
  return [...parts.keys(), parts.length]
    .map((count) => parts.slice(0, parts.length - count).join(""))
    .map((folder) => `${folder === "" ? "" : `${folder}/`}node_modules/${name}`)
    .find((path) => Object.hasOwn(locked, path));
}

/** The whole tree of production dependencies by path, including the optional packages of all platforms. */
function treeOf(start: string): [string, Locked][] {
  const found = new Set<string>();
  const visit = (path: string, { dependencies, optionalDependencies, ...one }: Locked) => {
    const peers = Object.keys(one.peerDependencies ?? {}).filter(
      (name) => one.peerDependenciesMeta?.[name]?.optional !== true,
    );
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies }).concat(peers)) {
      const target = pathOf(name, path);
      if (target === undefined || found.has(target)) continue;
      found.add(target);
      visit(target, locked[target]!);
    }
  };
  visit(start, all[start]!);
  return [...found].sort().map((path) => [path, locked[path]!]);
}

const installed = treeOf("");
/** What the server brings besides the library and its dependencies. */
const ofServer = treeOf("serve").filter(([path]) => !installed.some(([other]) => other === path));

const allowed = [
  ...["MIT", "Apache-2.0", "ISC", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "BlueOak-1.0.0"],
];
// Packages of libvips, either as libraries that sharp loads at run time or together with sharp's own addon.
const ofLibvips = /^@img\/sharp-(libvips-[a-z0-9-]+|wasm32|win32-[a-z0-9]+)$/;

/** Whether an SPDX expression that has only ANDs, or only ORs, allows our use. */
function isAllowed(name: string, licence: string | undefined): boolean {
  const words = (licence ?? "").replace(/^\(|\)$/g, "");
  const isOne = (one: string) =>
    allowed.includes(one) || (one === "LGPL-3.0-or-later" && ofLibvips.test(name));
  return words.includes(" OR ")
    ? words.split(" OR ").some(isOne)
    : words.split(" AND ").every(isOne);
}

/** The licence of LPIPS's vectors, as their file has it in its first comment. */
function notice(): string {
  const source = readFileSync(new URL("lib/perceptual/vectors.ts", root), "utf8");
  const comment = source.slice(0, source.indexOf("\n\n")).split("\n");
  const lines = comment.map((line) => line.replace(/^\/\/ ?/, ""));
  return lines.slice(lines.indexOf("") + 1).join("\n");
}

function table(packages: readonly [string, Locked][]): string {
  const rows = packages
    .map(([path, { version, license, optional }]) => {
      const cells = [nameOf(path), version, license, optional === true ? "on some platforms" : ""];
      return `| ${cells.join(" | ")} |`;
    })
    .sort();
  return `| package | version | licence | installed |
| --- | --- | --- | --- |
${[...new Set(rows)].join("\n")}`;
}

function report(): string {
  return `# Licences

What \`npm install vgg-cudnn\` brings besides the package itself, which is MIT but for [some data](#data). \`npm run licences:report\` writes this page; a test compares it with
package-lock.json. libvips (LGPL-3.0-or-later) comes as a library of its own, which sharp loads at run time and which can be replaced.

${table(installed)}

## The server

What \`npm install vgg-cudnn-serve\` brings besides:

${table(ofServer)}

## Data

The package contains the five learned vectors of LPIPS v0.1 for VGG16, from https://github.com/richzhang/PerceptualSimilarity (BSD-2-Clause):

\`\`\`
${notice()}
\`\`\`
`;
}

describe("the packages that are installed with this one", () => {
  it("are listed in docs/licences.md", async () => {
    await expect(report()).toMatchFileSnapshot("../../docs/licences.md");
  });

  it("have licences that are allowed", () => {
    const refused = [...installed, ...ofServer].filter(
      ([path, { license }]) => !isAllowed(nameOf(path), license),
    );
    expect(refused).toEqual([]);
    expect(Math.min(installed.length, ofServer.length)).toBeGreaterThan(0);
  });

  it("say in their manifests what the lock file says, if they are installed", () => {
    for (const [path, { version, license, optional }] of [...installed, ...ofServer]) {
      const manifest = new URL(`${path}/package.json`, root);
      if (optional === true && !existsSync(manifest)) continue;
      const { name, ...found } = JSON.parse(readFileSync(manifest, "utf8"));
      expect([name, found.version, found.license]).toEqual([nameOf(path), version, license]);
    }
  });

  it("are pinned by hashes, name no registry, and run no scripts", () => {
    for (const [path, { integrity, resolved, hasInstallScript }] of Object.entries(locked)) {
      const fault = integrity?.startsWith("sha512-") ? undefined : path;
      expect([fault, resolved]).toEqual([undefined, undefined]);
      if ([...installed, ...ofServer].some(([other]) => other === path))
        expect(hasInstallScript).toBeUndefined();
    }
    expect(own).toMatchObject({ license: "MIT" });
    expect(serve).toMatchObject({ license: "MIT", version: own.version });
    expect(text).not.toMatch(/registry\./);
  });

  it.each([
    ["vgg-cudnn", [], installed],
    ["vgg-cudnn-serve", ["--", "serve"], treeOf("serve")],
  ])("are all in the bill of materials of %s", (name, args, expected) => {
    const { stdout } = spawnSync("npm", ["run", "--silent", "sbom", ...args], {
      cwd: fileURLToPath(root),
      encoding: "utf8",
    });
    const { metadata, components } = JSON.parse(stdout) as {
      metadata: { component: { name: string } };
      components: { name: string; version: string }[];
    };
    expect(metadata.component.name).toBe(name);
    const listed = components.map((one) => `${one.name}@${one.version}`);
    const packages = expected.map(([path, { version }]) => `${nameOf(path)}@${version}`);
    expect([...new Set(listed)].sort()).toEqual([...new Set(packages)].sort());
  });
});

describe("a licence", () => {
  it.each<[string, string | undefined, boolean]>([
    ["left-pad", "MIT", true],
    ["left-pad", "(BSD-2-Clause OR MIT OR Apache-2.0)", true],
    ["left-pad", "GPL-3.0 OR MIT", true],
    ["left-pad", "GPL-3.0 AND MIT", false],
    ["left-pad", "(MIT AND GPL-3.0) OR LGPL-3.0-or-later", false],
    ["left-pad", "LGPL-3.0-or-later", false],
    ["@img/sharp-libvips-linux-x64", "LGPL-3.0-or-later", true],
    ["@img/sharp-win32-x64", "Apache-2.0 AND LGPL-3.0-or-later", true],
    ["@img/sharp-linux-x64", "LGPL-3.0-or-later", false],
    ["left-pad", "SEE LICENSE IN LICENSE.txt", false],
    ["left-pad", undefined, false],
    ["left-pad", "", false],
  ])("of %s: %s is allowed: %s", (name, licence, expected) => {
    expect(isAllowed(name, licence)).toBe(expected);
  });
});
