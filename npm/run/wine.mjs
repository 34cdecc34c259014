// A folder of Wine's settings (a prefix) in which Node and sharp run, and the processes of Wine that belong to it.
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ToolError } from "../tools.mjs";
import { findZig } from "../zig.mjs";
import { findProgram, must, runWithFiles } from "./programs.mjs";

/** Debian's package has it outside PATH. */
export const wineNames = ["wine64", "/usr/lib/wine/wine64", "wine"];
const serverNames = ["wineserver64", "/usr/lib/wine/wineserver64", "wineserver"];
const standIn = fileURLToPath(new URL("bcryptprimitives.c", import.meta.url));

/** The variables of a prefix: no messages, no window, no offer to install .NET or a browser. */
export const wineVariables = (prefix) => ({
  WINEPREFIX: prefix,
  WINEDEBUG: "-all",
  WINEDLLOVERRIDES: "mscoree,mshtml=",
  DISPLAY: "",
});

/** @returns a path as Windows' programs see it */
export const windowsPath = (path) => `Z:${path.replaceAll("/", "\\")}`;

/** Builds the library that Wine 8 lacks. Newer versions have their own. */
function addBcryptprimitives(prefix, cache) {
  const library = join(prefix, "drive_c/windows/system32/bcryptprimitives.dll");
  if (existsSync(library)) return;
  const env = { ...process.env, ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache };
  const options = ["-target", "x86_64-windows-gnu", "-shared", "-nostdlib", "-fno-stack-protector"];
  must(findZig(), ["cc", ...options, "-O2", "-s", "-o", library, standIn, "-ladvapi32"], {
    env,
    otherwise: `Expected Zig to build ${library}`,
  });
}

/** Fills a prefix, unless it is filled already. */
async function fillPrefix(prefix, environment, cache) {
  const mark = join(prefix, ".made");
  if (!existsSync(mark)) {
    rmSync(prefix, { recursive: true, force: true });
    mkdirSync(prefix, { recursive: true });
    const env = { ...environment, ...wineVariables(prefix) };
    const command = ["winecfg", "-v", "win10"];
    const wine = findProgram(...wineNames);
    const { failure, stderr } = await runWithFiles(wine, command, { env, limit: 180 });
    if (failure !== undefined)
      throw new ToolError(`Expected winecfg to make ${prefix} (${stderr.trim() || failure})`);
    writeFileSync(mark, "");
  }
  addBcryptprimitives(prefix, cache);
}

/**
 * Makes a prefix that says it is Windows 10, which Node requires.
 * @throws {ToolError} if Wine fails. None of its processes stays then.
 */
export async function makePrefix(prefix, environment, cache) {
  try {
    await fillPrefix(prefix, environment, cache);
  } catch (error) {
    await endWine(prefix, environment);
    throw error;
  }
}

/** Ends the processes that Wine keeps for a prefix. */
export async function endWine(prefix, environment) {
  const server = findProgram(...serverNames);
  const env = { ...environment, ...wineVariables(prefix) };
  if (server !== undefined) await runWithFiles(server, ["-k"], { env, limit: 30 });
}
