// Installs the package managers of package-lock.json into .cache/package-managers, for `npm run test:registry`. It does nothing if they are there.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../../.cache/package-managers/", import.meta.url));
const lock = fileURLToPath(new URL("package-lock.json", import.meta.url));
const isThere =
  existsSync(`${folder}node_modules`) &&
  readFileSync(lock).equals(readFileSync(`${folder}package-lock.json`));
if (!isThere) {
  mkdirSync(folder, { recursive: true });
  copyFileSync(fileURLToPath(new URL("package.json", import.meta.url)), `${folder}package.json`);
  copyFileSync(lock, `${folder}package-lock.json`);
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const { status } = spawnSync("npm", args, { cwd: folder, stdio: "inherit" });
  process.exitCode = status ?? 1;
}
