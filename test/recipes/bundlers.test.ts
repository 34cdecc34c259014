// What docs/recipes/bundlers.md says of bundlers and Next.js, which `npm run recipes:fetch` brings.
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { checkAnswers } from "./answers.ts";
import { installPackage, isFetched, modules, project, root, run, serve, tool } from "./project.ts";

const addon = join(root, "build/Release/vgg_cudnn.node");
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const libc = process.platform === "linux" ? "-gnu" : "";
const platformPackage = `@vgg-cudnn/${process.platform}-${process.arch}${libc}`;
/** A project below the first one: what bundlers read and write. */
const bundled = join(project, "bundled");
const at = (...path: string[]) => join(bundled, ...path);

/** Writes the platform package of this system. @returns the path of its file */
function installPlatform(folder: string): string {
  const target = join(folder, platformPackage);
  const manifest = { name: platformPackage, version, main: "vgg_cudnn.node" };
  mkdirSync(target, { recursive: true });
  writeFileSync(join(target, "package.json"), JSON.stringify(manifest));
  cpSync(addon, join(target, "vgg_cudnn.node"));
  return join(target, "vgg_cudnn.node");
}

/** Runs a program in an empty folder, so that nothing is found but what the bundle holds. */
function runAlone(bundle: string, env: NodeJS.ProcessEnv = {}): string {
  const folder = mkdtempSync(join(tmpdir(), "vgg-bundle-"));
  try {
    cpSync(bundle, join(folder, "out"), { recursive: true });
    const [file] = readdirSync(join(folder, "out")).filter((name) => /^app\.[cm]?js$/.test(name));
    return run(process.execPath, [join(folder, "out", file!)], folder, env).stdout;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Checks a bundle that holds the package: it starts, says what to do, and works with `VGG_ADDON`. */
function checkBundleOfAll(bundle: string): void {
  const said = runAlone(bundle);
  expect(said).toMatch(/^ADDON_MISSING Expected the native addon for /);
  expect(said).toContain("leave vgg-cudnn out of the bundle (external)");
  expect(runAlone(bundle, { VGG_ADDON: addon })).toBe("cpu\n");
}

const app = `import { Vgg } from "vgg-cudnn";
Vgg.create("vgg11", { imageSize: 32, numClasses: 2, hiddenFeatures: 64, device: "cpu" }).then(
  (model) => console.log(model.device.id),
  (error) => console.log(error.code, error.message),
);
`;

describe.runIf(isFetched)("the package", () => {
  beforeAll(() => {
    rmSync(bundled, { recursive: true, force: true });
    installPackage(at("node_modules"));
    writeFileSync(at("package.json"), '{ "name": "app", "private": true }');
    writeFileSync(at("app.mjs"), app);
  });
  beforeEach(() => rmSync(at("node_modules/@vgg-cudnn"), { recursive: true, force: true }));

  describe.each(["esm", "cjs"])("in a bundle of esbuild in the format %s", (format) => {
    const name = format === "esm" ? "app.mjs" : "app.cjs";
    const bundle = (folder: string, ...options: string[]) => {
      const args = ["app.mjs", "--bundle", "--platform=node", `--format=${format}`, ...options];
      const { status, stderr } = run(
        tool("esbuild"),
        [...args, `--outfile=${folder}/${name}`],
        bundled,
      );
      expect(status, stderr).toBe(0);
    };

    it("says to leave it out, and works with VGG_ADDON", () => {
      bundle(`esbuild-${format}`);
      checkBundleOfAll(at(`esbuild-${format}`));
    });

    it("finds a platform package in node_modules", () => {
      bundle(`beside-${format}`);
      installPlatform(at("node_modules"));
      expect(run(process.execPath, [`beside-${format}/${name}`], bundled).stdout).toBe("cpu\n");
    });

    it("works outside of the bundle", () => {
      bundle(`external-${format}`, "--external:vgg-cudnn");
      expect(run(process.execPath, [`external-${format}/${name}`], bundled).stdout).toBe("cpu\n");
    });
  });

  it("works outside of a bundle of webpack; inside, it says to leave it out", () => {
    const script = `
      import webpack from "webpack";
      const common = { mode: "none", target: "node20", entry: "./app.mjs", context: process.cwd() };
      const output = (name) => ({ path: process.cwd() + "/" + name, filename: "app.cjs" });
      const external = { "vgg-cudnn": "import vgg-cudnn" };
      const [outside, inside] = [
        { ...common, externals: external, output: output("webpack-external") },
        { ...common, externals: { sharp: "commonjs sharp" }, output: output("webpack-all") },
      ];
      webpack([outside, inside], (error, stats) => {
        if (error || stats.hasErrors()) throw error ?? new Error(stats.toString());
      });`;
    writeFileSync(at("webpack.mjs"), script);
    const { status, stderr } = run(process.execPath, ["webpack.mjs"], bundled);
    expect(status, stderr).toBe(0);
    expect(run(process.execPath, ["webpack-external/app.cjs"], bundled).stdout).toBe("cpu\n");
    // webpack writes the path of each module on this machine into import.meta.url.
    const moved = at("moved");
    cpSync(at("node_modules/vgg-cudnn"), moved, { recursive: true });
    rmSync(at("node_modules/vgg-cudnn"), { recursive: true });
    try {
      checkBundleOfAll(at("webpack-all"));
    } finally {
      cpSync(moved, at("node_modules/vgg-cudnn"), { recursive: true });
    }
  });

  it("stays outside of a server of Vite, unless ssr.noExternal names it", () => {
    const vite = join(root, "node_modules/vite/bin/vite.js");
    const build = (folder: string, ssr: object) => {
      writeFileSync(at("vite.config.mjs"), `export default ${JSON.stringify({ ssr })};`);
      const args = [vite, "build", "--ssr", "app.mjs", "--outDir", folder, "--logLevel", "error"];
      const { status, stderr } = run(process.execPath, args, bundled);
      expect(status, stderr).toBe(0);
    };
    build("vite", {});
    const [file] = readdirSync(at("vite")).filter((name) => name.startsWith("app."));
    expect(run(process.execPath, [`vite/${file}`], bundled).stdout).toBe("cpu\n");
    build("vite-all", { noExternal: ["vgg-cudnn"] });
    expect(readFileSync(at("vite-all", file!), "utf8")).not.toContain('from "vgg-cudnn"');
  });

  it("is copied with its addon by @vercel/nft, also out of pnpm's store", async () => {
    const path = "next/dist/compiled/@vercel/nft/index.js";
    const { nodeFileTrace } = createRequire(join(modules, "nft.js"))(join(modules, path));
    const store = at("pnpm/node_modules/.pnpm/vgg-cudnn/node_modules");
    installPackage(store);
    installPlatform(store);
    symlinkSync(".pnpm/vgg-cudnn/node_modules/vgg-cudnn", at("pnpm/node_modules/vgg-cudnn"), "dir");
    writeFileSync(at("pnpm/app.mjs"), app);
    const { fileList } = await nodeFileTrace([at("pnpm/app.mjs")], { base: root });
    const files = [...fileList].filter((file) => /vgg-cudnn.*(\.node|package\.json)$/.test(file));
    const inStore = (file: string) => join(store, file).slice(root.length);
    expect(files.sort()).toEqual(
      [
        inStore(`${platformPackage}/package.json`),
        inStore(`${platformPackage}/vgg_cudnn.node`),
        inStore("vgg-cudnn/build/Release/vgg_cudnn.node"),
        inStore("vgg-cudnn/package.json"),
      ].sort(),
    );
  });

  describe("on Next.js", () => {
    const folder = at("nextjs");
    beforeAll(() => cpSync(join(root, "examples/nextjs"), folder, { recursive: true }));

    it("is in the standalone output with each addon that is installed, and answers there", async () => {
      installPlatform(at("node_modules"));
      const config = "next.config.mjs";
      const external = 'serverExternalPackages: ["vgg-cudnn"]';
      expect(readFileSync(join(folder, config), "utf8")).toContain(external);
      writeFileSync(join(folder, config), `export default { ${external}, output: "standalone" };`);
      const built = run(tool("next"), ["build"], folder);
      expect(built.status, built.stdout + built.stderr).toBe(0);
      const files = readdirSync(join(folder, ".next/standalone"), {
        recursive: true,
        encoding: "utf8",
      });
      const addons = files.filter((file) => file.endsWith("vgg_cudnn.node"));
      const names = addons.map((file) => file.replace(/^.*\/node_modules\//, ""));
      for (const name of [platformPackage, "vgg-cudnn/build/Release"])
        expect(names).toContain(`${name}/vgg_cudnn.node`);
      // Elsewhere, and with the platform package alone.
      const copy = mkdtempSync(join(tmpdir(), "vgg-standalone-"));
      cpSync(join(folder, ".next/standalone"), copy, { recursive: true, verbatimSymlinks: true });
      for (const file of addons.filter((name) => name.includes("build/Release")))
        rmSync(join(copy, file), { force: true });
      const server = files.find((file) => /^(?!.*node_modules).*server\.js$/.test(file))!;
      const port = await freePort();
      const env = { PORT: `${port}`, HOSTNAME: "127.0.0.1" };
      await serve(process.execPath, [join(copy, server)], checkAnswers, copy, env);
      rmSync(copy, { recursive: true });
    });

    it("needs serverExternalPackages", () => {
      rmSync(join(folder, "next.config.mjs"));
      const { status, stdout, stderr } = run(tool("next"), ["build"], folder);
      expect(status).not.toBe(0);
      expect(stdout + stderr).toContain("vgg-cudnn/dist");
    });
  });
});

/** A port that no server has at the moment. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
