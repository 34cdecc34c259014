// `npm run recipes:fetch`: installs what the recipes work with, in the versions of package-lock.json, into .cache/recipes.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../../.cache/recipes/", import.meta.url));
mkdirSync(folder, { recursive: true });
for (const name of ["package.json", "package-lock.json"])
  copyFileSync(fileURLToPath(new URL(name, import.meta.url)), `${folder}${name}`);
const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
const { status } = spawnSync("npm", args, {
  cwd: folder,
  stdio: "inherit",
  shell: process.platform === "win32",
});
process.exitCode = status ?? 1;
