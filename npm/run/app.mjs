// An installation of the package for one platform, as npm makes it: the staged packages, and the dependencies of the lock file.
import {
  copyFileSync,
  cpSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { root } from "../tools.mjs";
import { installOnce } from "./folders.mjs";
import { npmCi } from "./nodes.mjs";

const image = join(root, "test/golden/images/chroma420.jpg");
const smoke = fileURLToPath(new URL("smoke.mjs", import.meta.url));

/** What a user's project has, and the files of the checks. */
export const filesOf = (app) => ({
  addon: (platform) => join(app, "node_modules/@vgg-cudnn", platform, "vgg_cudnn.node"),
  command: join(app, "node_modules/vgg-cudnn/dist/cli/main.js"),
  smoke: join(app, "smoke.mjs"),
  image: join(app, "image.jpg"),
  weights: join(app, "weights.safetensors"),
});

/**
 * Installs the package for a platform.
 * @param packages the folder that `stage` wrote
 * @returns the paths of its files
 */
export function installApp(app, platform, packages) {
  const lock = join(root, "package-lock.json");
  const manifest = join(root, "package.json");
  const key = `${readFileSync(lock)}${readFileSync(manifest)}`;
  installOnce(app, key, (target) => {
    npmCi(target, platform, { "package.json": manifest, "package-lock.json": lock });
    // A package of this name would resolve "vgg-cudnn" to itself.
    writeFileSync(join(target, "package.json"), '{ "private": true, "type": "module" }\n');
    rmSync(join(target, "package-lock.json"));
  });
  const modules = join(app, "node_modules");
  const own = { [platform]: `@vgg-cudnn/${platform}`, "vgg-cudnn": "vgg-cudnn" };
  for (const [folder, name] of Object.entries(own)) {
    const target = join(modules, name);
    rmSync(target, { recursive: true, force: true });
    mkdirSync(target, { recursive: true });
    cpSync(join(packages, folder), target, { recursive: true });
  }
  const files = filesOf(app);
  copyFileSync(smoke, files.smoke);
  copyFileSync(image, files.image);
  return files;
}

/** Gives an installation the weights of another one, which may be on the same file system. */
export function shareWeights(from, to) {
  if (from === to) return;
  rmSync(to, { force: true });
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}
