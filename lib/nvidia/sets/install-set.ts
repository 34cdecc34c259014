// Installs and removes sets of NVIDIA's libraries. A set appears under its name when it is whole, and disappears at once.
import { randomBytes } from "node:crypto";
import { link, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { bare } from "../../check.js";
import type { Progress } from "../../download/download.js";
import { VggError } from "../../errors.js";
import { ifMissing, inUseCodes, withFile } from "../../files/errors.js";
import { despiteUse } from "../../files/in-use.js";
import { makeFolder } from "../../files/make-folder.js";
import { replaceFile } from "../../files/replace.js";
import { syncFolder } from "../../files/sync-folder.js";
import { underLock } from "../../files/under-lock.js";
import { installFiles } from "../install.js";
import { type InstalledSet, readSet, receiptName, receiptOf } from "./installed.js";
import { bytesOf, type LibrarySet } from "./set.js";

export interface InstallSetOptions {
  /** The folder of sets, in which the set gets a folder. */
  readonly folder: string;
  /** The address of a package index. Default: what pip is configured to use, else NVIDIA's. */
  readonly index?: string | undefined;
  /** A folder with the wheels, instead of an index. */
  readonly from?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress: (progress: Progress) => void;
}

/** An installed set, and what the call did. */
export interface SetResult {
  readonly set: InstalledSet;
  /** The set was whole already. */
  readonly wasInstalled: boolean;
  /** Bytes that came over the network. */
  readonly receivedBytes: number;
}

const recursive = bare({ recursive: true, force: true } as const);

const stagingOf = (folder: string, name: string) => join(folder, `.${name}.part`);
const lockOf = (folder: string, name: string) => join(folder, `.${name}.lock`);

/** Whether an installed set is whole and consists of exactly the files of this one. */
function isSame(found: InstalledSet, set: LibrarySet): boolean {
  if (found.problem !== null) return false;
  const hashes = new Map(found.files.map(({ name, sha256 }) => [name, sha256]));
  const members = set.wheels.flatMap((wheel) => wheel.members);
  return (
    members.length === found.files.length &&
    members.every(({ to, sha256 }) => hashes.get(to) === sha256)
  );
}

/** Links the files that another version of the set's folder has already. Their content is checked later. */
async function reuse(from: string, staging: string, set: LibrarySet): Promise<void> {
  for (const { to, size } of set.wheels.flatMap(({ members }) => members)) {
    const stats = await stat(join(from, to)).catch(() => undefined);
    if (stats?.isFile() && stats.size === size)
      await link(join(from, to), join(staging, to)).catch(() => {}); // it is downloaded then
  }
}

/** After a failure removes the links of `reuse`, and the folder if nothing that was fetched is in it. */
async function discardEmpty(from: string, staging: string, set: LibrarySet): Promise<void> {
  const identity = (path: string) =>
    stat(path, bare({ bigint: true as const })).catch(() => undefined);
  for (const { to } of set.wheels.flatMap(({ members }) => members)) {
    const [own, earlier] = [await identity(join(staging, to)), await identity(join(from, to))];
    if (own !== undefined && own.ino === earlier?.ino && own.dev === earlier.dev)
      await rm(join(staging, to)).catch(() => {});
  }
  await rmdir(staging).catch(() => {}); // what was fetched stays for the next call
}

/** Removes what does not belong to the set, such as files of an earlier version. */
async function removeOthers(staging: string, set: LibrarySet): Promise<void> {
  const names = new Set(set.wheels.flatMap(({ members }) => members.map(({ to }) => to)));
  for (const name of await readdir(staging)) {
    if (!names.has(name) && name !== receiptName) await rm(join(staging, name), recursive);
  }
}

/** Takes a set's folder away from its name in one step. Returns the new path, or undefined if there is none. */
async function moveAside(folder: string, name: string): Promise<string | undefined> {
  const aside = join(folder, `.${name}.${randomBytes(6).toString("hex")}.old`);
  const target = join(folder, name);
  return despiteUse(() => rename(target, aside))
    .then(() => aside, ifMissing)
    .catch((cause) => {
      const { code } = cause as NodeJS.ErrnoException;
      if (process.platform !== "win32" || !inUseCodes.includes(code ?? "")) throw cause;
      throw new VggError(
        "FOLDER_UNUSABLE",
        `Cannot remove ${target} (${code}): end the processes that use these libraries first`,
        { cause },
      );
    });
}

/** Gives the staged set its name. An earlier set under this name goes aside, and comes back if that fails. */
async function putInPlace(folder: string, name: string): Promise<void> {
  const target = join(folder, name);
  const aside = await moveAside(folder, name);
  try {
    await despiteUse(() => rename(stagingOf(folder, name), target));
  } catch (error) {
    if (aside !== undefined) await rename(aside, target).catch(() => {});
    throw error;
  }
}

/** Returns the folders that an unfinished installation or removal left, by the name of their set. */
async function leftovers(folder: string): Promise<[name: string, path: string][]> {
  const entries = await readdir(folder).catch(() => []);
  return entries.flatMap((entry) => {
    const name = /^\.(cu1[23]-[\d.-]+)\.(part|[0-9a-f]{12}\.old)$/.exec(entry)?.[1];
    return name === undefined ? [] : [[name, join(folder, entry)]];
  });
}

/** Removes the folders that went aside, also if a killed process left them. */
async function removeOld(folder: string, name: string): Promise<void> {
  for (const [owner, path] of await leftovers(folder)) {
    if (owner === name && path.endsWith(".old")) await rm(path, recursive).catch(() => {});
  }
}

/**
 * Installs a set under its name, unless it is there and whole. A failure, a signal or a kill leaves an earlier set as it was
 * and keeps what was fetched; the next call goes on from there. One process at a time installs a set, others wait.
 * @throws {VggError} DISK_FULL, FOLDER_UNUSABLE, DOWNLOAD_FAILED, HASH_MISMATCH, OFFLINE
 * @throws the signal's reason
 */
export async function installSet(set: LibrarySet, options: InstallSetOptions): Promise<SetResult> {
  const { folder, index, from, signal, onProgress } = options;
  const target = join(folder, set.name);
  const staging = stagingOf(folder, set.name);
  const done = (wasInstalled: boolean, receivedBytes: number): SetResult => ({
    set: readSet(target, set.name),
    wasInstalled,
    receivedBytes,
  });
  // A folder that cannot be written to may have the set.
  if (isSame(readSet(target, set.name), set)) return done(true, 0);
  await withFile(folder, () => makeFolder(folder));
  const onWait = () => onProgress({ receivedBytes: 0, totalBytes: bytesOf(set), isWaiting: true });
  return underLock(lockOf(folder, set.name), signal, onWait, async (lock, stop) => {
    if (isSame(readSet(target, set.name), set)) return done(true, 0);
    const stillHeld = async () => {
      if (!(await lock.isHeld())) throw new Error("the lock was taken over");
    };
    await removeOld(folder, set.name);
    await withFile(staging, () => makeFolder(staging));
    await reuse(target, staging, set);
    const { receivedBytes } = await installFiles({
      folder: staging,
      wheels: set.wheels,
      index,
      from,
      signal: stop,
      onProgress,
    }).catch(async (error) => {
      if (await lock.isHeld().catch(() => false)) await discardEmpty(target, staging, set);
      throw error;
    });
    await stillHeld();
    await withFile(staging, () => removeOthers(staging, set));
    await replaceFile(join(staging, receiptName), (file) =>
      file.write(Buffer.from(receiptOf(set))),
    );
    await syncFolder(staging);
    await stillHeld();
    await withFile(target, () => putInPlace(folder, set.name));
    await syncFolder(folder);
    await removeOld(folder, set.name);
    return done(false, receivedBytes);
  });
}

/**
 * Removes a set and what an unfinished installation of it left. Processes that have loaded its libraries keep them on Linux.
 * @throws {VggError} FOLDER_UNUSABLE: also if Windows keeps the files, because a process uses them
 */
export async function removeSet(
  folder: string,
  name: string,
  onWait: () => void = () => {},
): Promise<void> {
  await underLock(lockOf(folder, name), undefined, onWait, async () => {
    await withFile(join(folder, name), () => moveAside(folder, name));
    const paths = (await leftovers(folder)).filter(([owner]) => owner === name);
    for (const [, path] of paths) await withFile(path, () => rm(path, recursive));
    await syncFolder(folder);
  });
}

/** Returns the sets whose installation or removal was not finished, with the bytes that they take. */
export async function unfinishedSets(folder: string): Promise<{ name: string; bytes: number }[]> {
  const bytes = new Map<string, number>();
  for (const [name, path] of await leftovers(folder)) {
    const files = await readdir(path).catch(() => []);
    const sizes = files.map((file) => stat(join(path, file)).catch(() => undefined));
    const all = (await Promise.all(sizes)).reduce((sum, each) => sum + (each?.size ?? 0), 0);
    bytes.set(name, (bytes.get(name) ?? 0) + all);
  }
  return [...bytes].map(([name, bytes]) => ({ name, bytes }));
}
