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
}

const root = new URL("../../", import.meta.url);
const text = readFileSync(new URL("package-lock.json", root), "utf8");
const { "": own, ...locked } = JSON.parse(text).packages as Record<string, Locked>;
/** The whole tree of production dependencies by path, including the optional packages of all platforms. */
const installed = Object.entries(locked).filter(([, { dev }]) => dev !== true);
const nameOf = (path: string) => path.slice(path.lastIndexOf("node_modules/") + 13);

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

function report(): string {
  const rows = installed
    .map(([path, { version, license, optional }]) => {
      const cells = [nameOf(path), version, license, optional === true ? "on some platforms" : ""];
      return `| ${cells.join(" | ")} |`;
    })
    .sort();
  return `# Licences

What \`npm install vgg-cudnn\` brings besides the package itself, which is MIT but for [some data](#data). \`npm run licences:report\` writes this page; a test compares it with
package-lock.json. libvips (LGPL-3.0-or-later) comes as a library of its own, which sharp loads at run time and which can be replaced.

| package | version | licence | installed |
| --- | --- | --- | --- |
${[...new Set(rows)].join("\n")}

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
    const refused = installed.filter(([path, { license }]) => !isAllowed(nameOf(path), license));
    expect(refused).toEqual([]);
    expect(installed.length).toBeGreaterThan(0);
  });

  it("say in their manifests what the lock file says, if they are installed", () => {
    for (const [path, { version, license, optional }] of installed) {
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
      if (installed.some(([other]) => other === path)) expect(hasInstallScript).toBeUndefined();
    }
    expect(own).toMatchObject({ license: "MIT" });
    expect(text).not.toMatch(/registry\./);
  });

  it("are all in the bill of materials", () => {
    const { stdout } = spawnSync("npm", ["run", "--silent", "sbom"], {
      cwd: fileURLToPath(root),
      encoding: "utf8",
    });
    const { metadata, components } = JSON.parse(stdout) as {
      metadata: { component: { name: string } };
      components: { name: string; version: string }[];
    };
    expect(metadata.component.name).toBe("vgg-cudnn");
    const names = components.map(({ name, version }) => `${name}@${version}`);
    const expected = installed.map(([path, { version }]) => `${nameOf(path)}@${version}`);
    expect([...new Set(names)].sort()).toEqual([...new Set(expected)].sort());
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
