// The table of package managers: each installs the packages, as they are published, from a registry on loopback, and the addon works.
// `npm run test:registry` installs the managers and runs this. It prints times and sizes. docs/ci.md describes it.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { platforms } from "../library/release/small-repository.ts";
import { isFetched, type Manager, managers, type Target, type Wish } from "./managers.ts";
import { Project } from "./project.ts";
import { otherVersion, own, start } from "./registries.ts";

const host = `@vgg-cudnn/${own}`;
let registry: Awaited<ReturnType<typeof start>>;
const rows: string[] = [];

/** Commands that a build needs. A manager's PATH has only Node and sh. */
const tools = { PATH: process.env.PATH };

/** What `check` prints. */
const checked = "132,863,336 total parameters.\n[1, 1000]\n";
/** What `doctor` prints if the addon of this platform's package is loaded. */
const loaded = () =>
  `prebuilt, ${host} ${registry.version}, sha256 ${registry.sha256.slice(0, 12)}`;

async function installed(manager: Manager, wish: Wish = {}, url = registry.all) {
  const project = new Project(manager, url, wish);
  const result = await project.add("vgg-cudnn");
  expect(result).toMatchObject({ status: 0 });
  return { project, output: result.output };
}

const able = (...wishes: (keyof Wish)[]) =>
  managers.filter(({ lacks }) => !wishes.some((wish) => lacks.includes(wish)));

/** The platforms whose packages are on disk. */
const brought = (project: Project) =>
  platforms.filter((name) => project.installed(`@vgg-cudnn/${name}`) !== undefined);

const targetOf = (platform: string): Target => {
  const [os, cpu, libc] = platform.split("-") as [string, string, string | undefined];
  return { os, cpu, ...(libc && { libc: libc === "gnu" ? "glibc" : libc }) };
};

describe.skipIf(!isFetched())("from the test registry", () => {
  beforeAll(async () => {
    registry = await start();
    // The registry then has all packages, and times do not depend on the network.
    await installed(managers[0]!);
  });
  afterAll(async () => {
    await registry.close();
    console.log(
      [
        "| install of vgg-cudnn, scripts off, empty cache | packages | on disk | time | check after it |",
        "| --- | --- | --- | --- | --- |",
        ...rows,
      ].join("\n"),
    );
  });

  describe("an install in an empty project without scripts", () => {
    it.each(managers)("needs only Node in PATH with $name, and check runs", async (manager) => {
      const project = new Project(manager, registry.all, { scripts: "ignored" }, "empty");
      const { status, output, seconds } = await project.add("vgg-cudnn");
      expect([status, output]).toEqual([0, expect.any(String)]);
      const check = await project.vgg("check");
      expect(check).toMatchObject({ status: 0, output: expect.stringContaining(checked) });
      const { packages, bytes } = project.size();
      const sizes = `${packages} | ${(bytes / 1e6).toFixed(0)} MB`;
      const times = [seconds, check.seconds].map((time) => `${time.toFixed(1)} s`);
      rows.push(`| ${manager.name} | ${sizes} | ${times.join(" | ")} |`);
      const direct = await project.direct("doctor");
      expect(direct.output).toContain(loaded());
      // yarn 1 knows no libc.
      const both = manager.name === "yarn 1" ? [own, own.replace("gnu", "musl")] : [own];
      expect(brought(project)).toEqual(both);
    });
  });

  describe.concurrent("the install script", () => {
    it.each(managers)(
      "does nothing with $name if it is allowed, with Node and sh in PATH",
      async (manager) => {
        const { project } = await installed(manager, { scripts: "allowed" });
        expect(existsSync(join(project.installed("vgg-cudnn")!, "build"))).toBe(false);
        expect((await project.direct("doctor")).output).toContain(loaded());
      },
    );

    it.each(managers)("builds with $name and VGG_BUILD=1 if it is allowed", async (manager) => {
      const project = new Project(manager, registry.small, { scripts: "allowed" });
      const PATH = `${project.env.PATH}:${tools.PATH}`;
      const result = await project.add("vgg-cudnn", { PATH, VGG_BUILD: "1" });
      expect(result).toMatchObject({ status: 0 });
      const addon = join(project.installed("vgg-cudnn")!, "build/Release/vgg_cudnn.node");
      expect(existsSync(addon)).toBe(true);
    });

    it("fails the installation with VGG_BUILD=1 and without CMake, in words of our own", async () => {
      const project = new Project(managers[0]!, registry.small, { scripts: "allowed" });
      const { status, output } = await project.add("vgg-cudnn", { VGG_BUILD: "1" });
      expect(status).not.toBe(0);
      expect(output).toContain("vgg-cudnn: Expected CMake ≥ 3.18 in PATH but found none");
    });

    it("builds by itself if no prebuilt addon is there but the tools are", async () => {
      const wish = { scripts: "allowed", omitOptional: true } as const;
      const project = new Project(managers[0]!, registry.small, wish);
      const PATH = `${project.env.PATH}:${tools.PATH}`;
      expect(await project.add("vgg-cudnn", { PATH })).toMatchObject({ status: 0 });
      expect(existsSync(project.path("node_modules/vgg-cudnn/build/Release/vgg_cudnn.node"))).toBe(
        true,
      );
    });

    const blocking = managers.filter(({ name }) => !/^(npm 11|yarn 1|yarn 4 PnP)$/.test(name));
    it.each(blocking)("is blocked by $name unless it is allowed", async (manager) => {
      const project = new Project(manager, registry.all);
      const { status, output } = await project.add("vgg-cudnn");
      expect(output).toMatch(
        /scripts blocked|Ignored build scripts|build scripts have been disabled/,
      );
      // pnpm 12 installs, and then wants a decision: pnpm approve-builds.
      expect(status).toBe(manager.name === "pnpm 12" ? 1 : 0);
      expect((await project.direct("doctor")).output).toContain(loaded());
    });
  });

  describe.concurrent("without optional dependencies", () => {
    it.each(able("omitOptional"))(
      "$name installs, and the message says what to do",
      async (manager) => {
        const wish = { scripts: "allowed", omitOptional: true } as const;
        const { project } = await installed(manager, wish);
        expect(brought(project)).toEqual([]);
        const { status, output } = await project.direct("check");
        expect(status).not.toBe(0);
        expect(output).toContain(`${host}: Cannot find module '${host}'`);
        const [, name] = /npm install (\S+) /.exec(output)!;
        expect(name).toBe(`${host}@${registry.version}`);
        expect(await project.add(name!)).toMatchObject({ status: 0 });
        expect((await project.direct("doctor")).output).toContain(loaded());
      },
    );
  });

  describe.concurrent("two platforms that are not published", () => {
    it.each(managers)("stop $name only if it is yarn", async (manager) => {
      const project = new Project(manager, registry.partial, { scripts: "ignored" });
      const { status, output } = await project.add("vgg-cudnn");
      if (manager.name.startsWith("yarn")) {
        expect(status).not.toBe(0);
        expect(output).toMatch(/@vgg-cudnn(\/|%2f)(win32-arm64|darwin-x64)/);
        return;
      }
      expect([status, output]).toEqual([0, expect.any(String)]);
      expect((await project.direct("doctor")).output).toContain(loaded());
    });
  });

  describe.concurrent("a platform package of another version", () => {
    it.each(managers)(
      "is refused after an install with $name, and both versions are said",
      async (manager) => {
        const overrides = { [host]: otherVersion };
        const { project } = await installed(manager, { scripts: "ignored", overrides });
        const { output } = await project.direct("check");
        expect(output).toContain(
          `${host}: Expected version ${registry.version} but found ${otherVersion}`,
        );
      },
    );
  });

  describe.concurrent("a lock file that another platform made", () => {
    // Both linkers of yarn 4 have one kind of lock file.
    const each = managers.filter(({ name }) => name !== "yarn 4 node-modules");
    it.each(each)("serves $name here", async (manager) => {
      const target = { os: "win32", cpu: "x64" };
      const there = await installed(
        manager,
        manager.lacks.includes("target") ? { scripts: "ignored" } : { scripts: "ignored", target },
      );
      const here = new Project(manager, registry.all, { scripts: "ignored" });
      here.takeLock(there.project);
      const { status, output } = await here.call(manager.frozen(here.wish));
      expect([status, output]).toEqual([0, expect.any(String)]);
      expect((await here.direct("doctor")).output).toContain(loaded());
    });
  });

  describe.concurrent("an install for another platform", () => {
    const cases = able("target").flatMap((manager) =>
      // pnpm 12 takes the least time.
      (manager.name === "pnpm 12" ? platforms : ["linux-arm64-musl", "win32-x64"]).map(
        (platform) => ({ manager, name: manager.name, platform }),
      ),
    );
    it.each(cases)("brings exactly one package for $platform with $name", async (one) => {
      const wish = { scripts: "ignored", target: targetOf(one.platform) } as const;
      const { project } = await installed(one.manager, wish);
      expect(brought(project)).toEqual([one.platform]);
    });
  });
});
