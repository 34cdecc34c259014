// The folders of npm/run/ in .cache, and what is installed in them once.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../tools.mjs";

/** All that a platform needs to run. With musl it is the root of the file system that the platform's Node sees. */
export const folderOf = (platform) => join(root, ".cache/run", platform);

/**
 * Fills a folder, unless it is filled already with the same contents.
 * @param key what identifies the contents, such as a lock file's text
 * @param fill writes into the folder, which is empty
 * @returns the folder
 */
export function installOnce(folder, key, fill) {
  const mark = join(folder, `.installed-${createHash("sha256").update(key).digest("hex")}`);
  if (existsSync(mark)) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  fill(folder);
  writeFileSync(mark, "");
  return folder;
}
