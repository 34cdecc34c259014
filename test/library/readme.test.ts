// The front door: README's length, its set-up for CI, the links of all pages, and the commands and flags that pages name.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");
const manifest = JSON.parse(read("package.json"));
/** Absent in the bundle for GPU servers, which has no docs. */
const hasDocs = existsSync(join(root, "docs"));

const pagesOf = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md"))
    .map((path) => join(folder, path));
const rootPages = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"];
const pages = hasDocs ? [...rootPages, "SECURITY.md", ...pagesOf("docs")] : [];

/** The anchor that GitHub gives a heading. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");

const withoutCode = (text: string) => text.replace(/^```[\s\S]*?^```$/gm, "");
const anchorsOf = (page: string) =>
  [...withoutCode(read(page)).matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchorOf(heading!));

/** The relative links of a page: the page, the target's path from the root, and the anchor. */
const linksOf = (page: string) =>
  [...withoutCode(read(page)).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link]) => link!)
    .filter((link) => !/^[a-z]+:/.test(link))
    .map((link) => {
      const [path = "", anchor] = link.split("#");
      return { link, target: path === "" ? page : join(dirname(page), path), anchor };
    });

describe.runIf(hasDocs)("README.md", () => {
  const readme = hasDocs ? read("README.md") : "";

  it("has at most 450 words", () => {
    expect(readme.split(/\s+/).filter((word) => word !== "").length).toBeLessThanOrEqual(450);
  });

  it("has the set-up of a clone as its first sh block, from which CI takes its first steps", () => {
    expect(readme.match(/^```sh\n([\s\S]*?)^```$/m)![1]).toBe(
      "npm install && node dist/cli/main.js check\nnpm test\n",
    );
  });
});

describe.runIf(hasDocs)("each page", () => {
  it.each(pages)("%s links only to targets that exist", (page) => {
    for (const { link, target, anchor } of linksOf(page)) {
      expect(existsSync(join(root, target)), link).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(target), link).toContain(anchor);
    }
  });

  it.each(pages)("%s links only to files in the package", (page) => {
    const packed = [...manifest.files, "README.md", "LICENSE"] as string[];
    for (const { link, target } of linksOf(page)) {
      const isPacked = packed.some((path) => !relative(path, target).startsWith(".."));
      expect(isPacked, link).toBe(true);
    }
  });

  it("names commands and flags that exist", () => {
    const help = new Map<string, string>();
    const helpOf = (command: string) => {
      const known = help.get(command);
      if (known !== undefined) return known;
      const args = [
        join(root, "dist/cli/main.js"),
        ...command.split(" ").filter(Boolean),
        "--help",
      ];
      const { status, stdout } = spawnSync(process.execPath, args, { encoding: "utf8" });
      expect([command, status]).toEqual([command, 0]);
      help.set(command, stdout);
      return stdout;
    };
    let found = 0;
    for (const page of ["README.md", "docs/guide.md", "docs/gpu.md", ...pagesOf("docs/recipes")]) {
      for (const [, command, rest] of read(page).matchAll(
        /(?:npx vgg(?:-cudnn)?|`vgg) ([a-z]+)([^`\n&|>]*)/g,
      )) {
        found += 1;
        expect(helpOf(""), page).toContain(`\n  ${command} `);
        // A command of a group, such as `vgg cuda install`.
        const group = command === "cuda" ? /^ ([a-z]+)/.exec(rest!)?.[1] : undefined;
        const whole = group === undefined ? command! : `${command} ${group}`;
        for (const [flag] of rest!.replace(/ #.*/, "").matchAll(/--[a-z-]+/g))
          expect(helpOf(whole), `${page}: vgg ${whole}`).toContain(flag);
      }
    }
    expect(found).toBeGreaterThan(10);
  });
});

describe("package.json", () => {
  it("names the command after the package too", () => {
    expect(Object.keys(manifest.bin)).toEqual(["vgg", "vgg-cudnn"]);
    expect(new Set(Object.values(manifest.bin)).size).toBe(1);
  });

  it("has these fields with a placeholder for the owner, to be replaced before a release", () => {
    const { homepage, bugs, repository } = manifest;
    const left = Object.entries({ homepage, bugs, repository: repository.url })
      .filter(([, address]) => (address as string).includes("OWNER"))
      .map(([name]) => name);
    expect(left).toEqual(["homepage", "bugs", "repository"]);
  });
});
