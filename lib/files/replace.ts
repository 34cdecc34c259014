// Writes a file whole or not at all: first a temporary file in the same folder, then a rename.
import { unlinkSync } from "node:fs";
import {
  chmod,
  type FileHandle,
  open,
  readdir,
  readlink,
  realpath,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { bare, rangeError, typeError } from "../check.js";
import { ifMissing, isMissing, withFile } from "./errors.js";
import { despiteUse } from "./in-use.js";
import { isStalePart, newPartName } from "./part-name.js";
import { removeAtExit, removeTemporary } from "./temporary-files.js";

/** Checks a path. @throws {TypeError|RangeError} not a path that a file can have */
export function checkPath(path: unknown, name: string): string {
  if (typeof path !== "string") throw typeError("a path", name, path);
  if (path === "" || path.includes("\0")) throw rangeError("a path", name, path);
  return path;
}

const maxLinks = 40; // the limit of Linux

/** Resolves a path's links to a file, whether or not it exists. */
async function followLinks(path: string): Promise<string> {
  let at = path;
  for (let links = 0; links < maxLinks; links++) {
    const found = await realpath(at).catch(ifMissing);
    if (found !== undefined) return found;
    const to = await readlink(at).catch((error: NodeJS.ErrnoException) => {
      if (!isMissing(error) && error.code !== "EINVAL") throw error; // EINVAL: not a link
    });
    if (to === undefined) return at;
    // Not `resolve`: the system decides what ".." means behind a link to a folder.
    at = isAbsolute(to) ? to : `${dirname(at)}/${to}`;
  }
  throw new Error(`it leads to more than ${maxLinks} links`);
}

/** Returns the file that the path leads to, and its permissions if it exists. */
async function findTarget(path: string): Promise<{ target: string; mode: number | undefined }> {
  const [target, stats] = await withFile(path, async () => {
    const found = await followLinks(path);
    return [found, await stat(found).catch(ifMissing)] as const;
  });
  if (stats !== undefined && !stats.isFile()) throw rangeError("a regular file", "path", path);
  return { target, mode: stats?.mode };
}

/** Removes the files that killed processes left in a folder, as far as the system permits. */
async function removeStaleParts(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (await isStalePart(folder, name))
      await rm(join(folder, name), bare({ force: true })).catch(() => {});
  }
}

/** Receives the new content in `replaceFile`. */
export interface NewFile {
  /** Appends bytes. @throws {VggError} DISK_FULL, FOLDER_UNUSABLE */
  write(bytes: Uint8Array): Promise<void>;
  /** Replaces bytes that were appended. @throws {VggError} DISK_FULL, FOLDER_UNUSABLE */
  writeAt(bytes: Uint8Array, position: number): Promise<void>;
}

/**
 * Replaces the content of `path` with the bytes that `write` writes, once all of them are on the disk. A failure leaves
 * nothing behind. If the path is a symbolic link, its target is replaced. An existing file keeps its permissions, and
 * other hard links to it keep the old content.
 * @throws {RangeError} the path is a folder or a device
 * @throws {VggError} DISK_FULL, FOLDER_UNUSABLE; and the errors of `write`
 */
export async function replaceFile(
  path: string,
  write: (file: NewFile) => Promise<void>,
): Promise<void> {
  const { target, mode } = await findTarget(path);
  const folder = dirname(target);
  await removeStaleParts(folder);
  const partial = join(folder, await newPartName());
  const release = removeAtExit(() => unlinkSync(partial));
  const step = <T>(work: () => Promise<T>) => withFile(path, work);
  try {
    const handle = await step(() => open(partial, "wx"));
    try {
      await write({
        write: (bytes) => step(() => writeAll(handle, bytes)),
        writeAt: (bytes, position) => step(() => writeAll(handle, bytes, position)),
      });
      // Uses the path, because Node's permission model has no fchmod.
      if (mode !== undefined) await step(() => chmod(partial, mode & 0o7777));
      await step(() => handle.sync());
    } catch (error) {
      await handle.close().catch(() => {});
      throw error;
    }
    await step(() => handle.close());
    await step(() => despiteUse(() => rename(partial, target)));
  } catch (error) {
    await removeTemporary(partial);
    throw error;
  } finally {
    release();
  }
}

/** Writes all bytes, from `position` on if it is given. @throws the system's error */
export async function writeAll(
  handle: FileHandle,
  bytes: Uint8Array,
  position?: number,
): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    const length = Math.min(bytes.byteLength - done, 2 ** 30);
    const at = position === undefined ? undefined : position + done;
    const { bytesWritten } = await handle.write(bytes, done, length, at);
    if (bytesWritten === 0) throw new Error("the system wrote nothing");
    done += bytesWritten;
  }
}
