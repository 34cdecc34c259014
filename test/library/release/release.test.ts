// A release: a dry run publishes into a registry on loopback alone, in the right order, and each failure stops it with what to do.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { hasTools, platforms, Repository, tool } from "./small-repository.ts";

const repository = new Repository();
const { root, prebuilt } = repository;
afterAll(() => repository.remove());

const { release } = await tool("release.mjs");

/** What the command does in the small package: it names the addon that it has found. */
const program = `import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
const libc = process.report.getReport().header.glibcVersionRuntime ? "gnu" : "musl";
const name = process.platform + "-" + process.arch + (process.platform === "linux" ? "-" + libc : "");
const file = createRequire(import.meta.url).resolve("@vgg-cudnn/" + name);
const hash = createHash("sha256").update(readFileSync(file)).digest("hex");
if (process.env.TEST_FAIL === process.argv[2]) { console.error("a planted failure"); process.exit(1); }
console.log(process.argv[2] === "doctor" ? "sha256 " + hash.slice(0, 12) : version + " [1, 1000]");
`;

const git = (...args: string[]) =>
  execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...args], { cwd: root });

/** An inspection that finds nothing, or a problem in one platform's file. */
const inspection = (broken?: string) => (name: string) => ({
  ...{
    name,
    bytes: 1,
    compressed: 1,
    floor: "",
    exports: [],
    needs: [],
    instructions: {},
    ran: "",
  },
  problems: name === broken ? ["exports _Znwm"] : [],
});

describe.skipIf(!hasTools)("npm run release", () => {
  let lines: string[];
  const dry = (options: object = {}) =>
    release({ root, prebuilt, isDry: true, inspect: inspection(), ...options });

  beforeEach(() => {
    lines = [];
    vi.spyOn(console, "log").mockImplementation((text) => {
      lines.push(String(text));
    });
    rmSync(root, { recursive: true });
    new Repository("1.2.3", repository.scratch);
    repository.write("dist/cli/main.js", program);
    repository.write(".gitignore", "build/\n");
    repository.write("CHANGELOG.md", "# Changelog\n\n## 1.2.3 (2026-01-31)\n");
    git("init", "-q");
    git("add", "-A");
    git("commit", "-qm", "a");
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
  });
  const change = (name: string, text: string) => {
    repository.write(name, text);
    git("commit", "-qam", "b");
  };

  it("publishes the platforms, then the main package and the server as next, tries them and moves the tags, all on loopback", async () => {
    // Settings that would send packages elsewhere, and a token that a dry run must not read.
    vi.stubEnv("npm_config_registry", "http://127.0.0.1:1/");
    vi.stubEnv("NODE_AUTH_TOKEN", "secret");
    repository.write("../npmrc", "@vgg-cudnn:registry=http://127.0.0.1:1/\n");
    vi.stubEnv("npm_config_userconfig", join(repository.scratch, "npmrc"));
    await dry();
    expect(lines.filter((line) => /published|\[1/.test(line))).toEqual([
      ...platforms.map((name) => `release: published @vgg-cudnn/${name}@1.2.3 under latest`),
      "release: published vgg-cudnn@1.2.3 under next",
      "release: published vgg-cudnn-serve@1.2.3 under next",
      "1.2.3 [1, 1000]",
      "release: nothing was published. 10 packages are in build/packages",
    ]);
    expect(existsSync(join(root, "build/packages/SHA256SUMS.json"))).toBe(true);
    expect(execFileSync("git", ["status", "--porcelain"], { cwd: root }).toString()).toBe("");
  });

  it("stops at a working tree that is not clean", async () => {
    repository.write("a.txt", "a");
    await expect(dry()).rejects.toThrow(
      /Expected a clean working tree; commit or remove.*\n\?\? a\.txt/,
    );
  });

  it("stops at a changelog without the version, and mentions what a release still needs", async () => {
    change("CHANGELOG.md", "# Changelog\n\n## 1.2.30 (2026-01-01)\n");
    await expect(dry()).rejects.toThrow('to have the heading "## 1.2.3 (YYYY-MM-DD)"');
    change("CHANGELOG.md", "# Changelog\n\n## 1.2.3 (not yet released)\n");
    const manifest = readFileSync(repository.path("package.json"), "utf8");
    change("package.json", manifest.replace("example.com", "example.com/OWNER"));
    await expect(release({ root, prebuilt, isDry: false })).rejects.toThrow("start the workflow");
    vi.stubEnv("ACTIONS_ID_TOKEN_REQUEST_URL", "http://127.0.0.1:1/");
    await expect(release({ root, prebuilt, isDry: false })).rejects.toThrow(
      /^Before a release, write the date into CHANGELOG\.md.*, and replace OWNER in repository/,
    );
  });

  it("stops at a version that differs, and at a failed build", async () => {
    change("lib/version.ts", 'export const version: string = "1.2.2";');
    await expect(dry()).rejects.toThrow("in lib/version.ts but found 1.2.2");
    const manifest = readFileSync(repository.path("package.json"), "utf8");
    change("package.json", manifest.replace("node -e 0", "exit 3"));
    await expect(dry()).rejects.toThrow(/^npm run build ended with status 3\. Mend the build/);
  });

  it("stops at a platform whose file is absent or failed the inspection", async () => {
    await expect(dry({ inspect: inspection("darwin-x64") })).rejects.toThrow(
      /^A platform's file failed, so nothing is released\..*\ndarwin-x64 exports _Znwm$/,
    );
    rmSync(join(prebuilt, "win32-arm64"), { recursive: true });
    await expect(dry()).rejects.toThrow(/for win32-arm64 but there is no such file/);
    await expect(dry({ inspect: undefined })).rejects.toThrow(/Expected .* (for|in) /);
    repository.addon("win32-arm64", "an addon for win32-arm64");
    expect(lines.some((line) => line.includes("published"))).toBe(false);
  });

  it("leaves the package under next if it does not run", async () => {
    vi.stubEnv("TEST_FAIL", "check");
    await expect(dry()).rejects.toThrow(/It stays under the tag next\..*\na planted failure$/s);
  });

  it("goes on with a release that was interrupted, and never publishes a version twice", async () => {
    const { stage } = await tool("stage.mjs");
    const registry = await (await tool("registry.mjs")).startRegistry();
    const settings = join(repository.scratch, "npmrc");
    const host = registry.url.slice("http:".length);
    writeFileSync(settings, `registry=${registry.url}\n${host}:_authToken=${registry.token}\n`);
    vi.stubEnv("npm_config_userconfig", settings);
    vi.stubEnv("npm_config_registry", registry.url);
    const real = () =>
      release({ root, prebuilt, isDry: false, inspect: inspection(), hasProvenance: false });
    const first = stage({ root, prebuilt, out: join(repository.scratch, "first") });
    for (const one of first.slice(0, 3)) registry.add(one);
    await real();
    const said = (word: RegExp) => lines.filter((line) => word.test(line)).length;
    expect([said(/is published already/), said(/: published /)]).toEqual([3, 7]);
    for (const name of ["vgg-cudnn", "vgg-cudnn-serve"]) {
      const { "dist-tags": tags } = (await (await fetch(`${registry.url}${name}`)).json()) as never;
      expect(tags).toEqual({ next: "1.2.3", latest: "1.2.3" });
    }
    change("README.md", "# Changed\n");
    await expect(real()).rejects.toThrow(
      "Expected vgg-cudnn@1.2.3 to be new but it is published with other contents",
    );
    await registry.close();
  });

  it("wants --dry-run or --publish, and not both", async () => {
    const script = fileURLToPath(new URL("../../../npm/release.mjs", import.meta.url));
    for (const args of [[], ["--dry-run", "--publish"], ["--dry"]]) {
      const child = spawn(process.execPath, [script, ...args]);
      const text = child.stderr.setEncoding("utf8").toArray();
      const [status] = await once(child, "close");
      expect([args, status, (await text).join("")]).toEqual([
        args,
        2,
        expect.stringMatching(/^release: (say --dry-run|Unknown option)/),
      ]);
    }
  });
});
