// What the tools of npm/ share: the table of platforms, and errors that are one sentence for a person.
import { lstatSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The repository. */
export const root = fileURLToPath(new URL("..", import.meta.url));

/** platforms.json: for each platform npm's os, cpu and libc, the compiler's target, and how the file is checked. */
export const platforms = JSON.parse(readFileSync(new URL("platforms.json", import.meta.url)));

/** An error whose message is all that its reader needs. */
export class ToolError extends Error {}

/** An error in the command line. Its command ends with status 2. */
export class UsageError extends ToolError {}

/** The end of a command that a signal, such as Ctrl+C, has stopped. Its command ends with status 130. */
export class Interrupted extends Error {
  message = "interrupted";
}

/** @returns the platforms of these names, each once, or all if there is no name. @throws {UsageError} for an unknown name */
export function platformsNamed(names) {
  const unknown = names.filter((name) => !Object.hasOwn(platforms, name));
  if (unknown.length > 0)
    throw new UsageError(
      `unknown platform: ${unknown.join(", ")}; the platforms are ${Object.keys(platforms).join(" ")}`,
    );
  return names.length > 0 ? [...new Set(names)] : Object.keys(platforms);
}

/** @returns what is at a path, which may be a link; undefined if nothing is there that can be reached */
export function lookAt(path) {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}

/** Runs a command's main function, and turns its errors into a sentence and an exit status. */
export async function runMain(name, main) {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    const isUsage = error instanceof UsageError || error.code?.startsWith("ERR_PARSE_ARGS");
    const isInterrupted = error instanceof Interrupted;
    if (!isUsage && !isInterrupted && !(error instanceof ToolError)) throw error;
    console.error(`${name}: ${error.message}`);
    process.exitCode = isInterrupted ? 130 : isUsage ? 2 : 1;
  }
}
