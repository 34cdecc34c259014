// Converts errors of the file system to VggError, and says in words what the system reports.
import { getSystemErrorMap } from "node:util";
import { VggError } from "../errors.js";

/** What Windows answers while another program has a file open. Other systems have other reasons for some of these. */
export const inUseCodes: readonly string[] = ["EPERM", "EACCES", "EBUSY"];
const diskFullCodes = ["ENOSPC", "EDQUOT", "EFBIG"];

function hintFor(code = ""): string {
  const mayBeOpen = process.platform === "win32" && inUseCodes.includes(code);
  return mayBeOpen ? "; another program may have it open" : "";
}

/** Returns DISK_FULL or FOLDER_UNUSABLE, or a VggError unchanged. `kept` says what a full disk leaves behind. */
export function fileError(error: unknown, path: string, kept = "nothing is left of it"): VggError {
  if (error instanceof VggError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  return diskFullCodes.includes(code ?? "")
    ? new VggError("DISK_FULL", `No room for ${path} (${code}); ${kept}`, { cause: error })
    : new VggError("FOLDER_UNUSABLE", `Cannot use ${path}: ${message}${hintFor(code)}`, {
        cause: error,
      });
}

/** Runs a step that uses the file or folder `path`. @throws {VggError} DISK_FULL, FOLDER_UNUSABLE */
export async function withFile<T>(path: string, step: () => Promise<T>, kept?: string): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw fileError(error, path, kept);
  }
}

/** Whether the error says that nothing exists at a path. */
export function isMissing(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "");
}

/** A handler for `catch`: returns undefined if nothing exists at a path. @throws any other error */
export function ifMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error;
}

const wordsOfCodes = new Map([...getSystemErrorMap().values()]);

/**
 * Says in words what a code of the system means: "no such file", "permission denied (EACCES)".
 * @returns undefined for a code that the system does not have
 */
export function wordsOf(code: string): string | undefined {
  if (code === "ENOENT") return "no such file";
  const words = wordsOfCodes.get(code);
  return words === undefined ? undefined : `${words} (${code})`;
}
