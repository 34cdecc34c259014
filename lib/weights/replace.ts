// Writes a file whole or not at all: beside its place first, then into it.
import { randomBytes } from "node:crypto";
import { type FileHandle, open, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { rangeError, typeError } from "../check.js";
import { VggError } from "../errors.js";
import { isError } from "../realm.js";
import { fileError } from "./file.js";

/** @throws {TypeError|RangeError} not a path that a file can have */
export function checkPath(path: unknown, name: string): string {
  if (typeof path !== "string") throw typeError("a path", name, path);
  if (path === "" || path.includes("\0")) throw rangeError("a path", name, path);
  return path;
}

/** The file that the path means, behind links, and its permissions where it exists. */
async function findTarget(path: string): Promise<{ target: string; mode: number | undefined }> {
  const target = await realpath(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return path;
    throw fileError(error, path);
  });
  const stats = await stat(target).catch(() => undefined);
  if (stats !== undefined && !stats.isFile()) throw rangeError("a regular file", "path", path);
  return { target, mode: stats?.mode };
}

/**
 * Gives `path` what `write` writes, when all of it is on the disk; nothing is left of a failure. A link stays a link, and
 * a file that is there keeps its permissions.
 * @throws {RangeError} the path is a folder or a device @throws {VggError} DISK_FULL, FOLDER_UNUSABLE; and what `write` throws
 */
export async function replaceFile(
  path: string,
  write: (handle: FileHandle) => Promise<void>,
): Promise<void> {
  const { target, mode } = await findTarget(path);
  const partial = join(dirname(target), `.vgg-${randomBytes(6).toString("hex")}.part`);
  try {
    const handle = await open(partial, "wx");
    try {
      await write(handle);
      if (mode !== undefined) await handle.chmod(mode & 0o7777);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(partial, target);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => {});
    const isSystem = isError(error) && "syscall" in error && !(error instanceof VggError);
    throw isSystem ? fileError(error, path) : error;
  }
}

export async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    const length = Math.min(bytes.byteLength - done, 2 ** 30);
    done += (await handle.write(bytes, done, length)).bytesWritten;
  }
}
