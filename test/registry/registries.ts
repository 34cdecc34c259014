// The registries of the table: all packages; two platforms unpublished; and a package whose addon builds in a second.
import { createHash } from "node:crypto";
import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { platforms, tool } from "../library/release/small-repository.ts";
import { project as smallProject, source } from "../support/small-addon.ts";
import { scratch } from "./project.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** This machine's platform. The table runs where glibc is. */
export const own = `linux-${process.arch}-gnu`;
export const unpublished = ["@vgg-cudnn/win32-arm64", "@vgg-cudnn/darwin-x64"];
/** A version of this platform's package that does not fit the main one. */
export const otherVersion = "0.0.0-other";

/** Writes this platform's addon, and files that stand for the addons of the others. */
function writePrebuilt(): string {
  const folder = join(scratch, "prebuilt");
  for (const platform of platforms) {
    mkdirSync(join(folder, platform), { recursive: true });
    const file = join(folder, platform, "vgg_cudnn.node");
    const addon = process.env.VGG_ADDON || join(root, "build/Release/vgg_cudnn.node");
    if (platform === own) copyFileSync(addon, file);
    else writeFileSync(file, `stands for the addon for ${platform}`);
  }
  return folder;
}

/** Stages the packages and starts the registries. */
export async function start() {
  const { stage, pack, writePlatform, readManifest } = await tool("stage.mjs");
  const { startRegistry } = await tool("registry.mjs");
  const { openUpstream } = await tool("upstream.mjs");
  mkdirSync(scratch);
  const upstream = openUpstream();
  const prebuilt = writePrebuilt();
  const out = join(scratch, "staged");
  const packages = stage({ root, prebuilt, out });
  const main = packages.find(({ name }: { name: string }) => name === "vgg-cudnn");

  const all = await startRegistry({ packages, upstream });
  const manifest = { ...readManifest(root), version: otherVersion };
  const differs = join(scratch, "differs");
  const file = join(prebuilt, own, "vgg_cudnn.node");
  writePlatform(differs, own, { file, manifest, licence: join(root, "LICENSE") });
  const [other] = pack([differs], join(scratch, "tarballs of another version"));
  all.add(other);

  const partial = await startRegistry({ packages, unpublished, upstream });

  const folder = join(scratch, "small");
  cpSync(join(out, "vgg-cudnn"), folder, { recursive: true });
  rmSync(join(folder, "native"), { recursive: true });
  mkdirSync(join(folder, "native"));
  writeFileSync(
    join(folder, "CMakeLists.txt"),
    smallProject.replace("addon.cc", "native/addon.cc"),
  );
  writeFileSync(join(folder, "native/addon.cc"), source);
  const small = await startRegistry({
    packages: [
      ...packages.filter((one: unknown) => one !== main),
      pack([folder], join(scratch, "tarballs of small"))[0],
    ],
    upstream,
  });

  return {
    version: main.version as string,
    sha256: createHash("sha256").update(readFileSync(file)).digest("hex"),
    all: all.url as string,
    partial: partial.url as string,
    small: small.url as string,
    async close() {
      for (const registry of [all, partial, small]) await registry.close();
      await upstream.close();
      rmSync(scratch, { recursive: true, force: true });
    },
  };
}
