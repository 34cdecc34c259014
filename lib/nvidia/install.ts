// Installs files of NVIDIA's wheels into a folder, from a package index or from a folder of wheels.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { discardEmptyPart, discardPart } from "../download/download.js";
import { isOffline } from "../download/offline.js";
import { VggError } from "../errors.js";
import { isMissing, withFile } from "../files/errors.js";
import { hashFile } from "../files/hash-file.js";
import { makeFolder } from "../files/make-folder.js";
import { underLock } from "../files/under-lock.js";
import { installFromFolder } from "./from-folder.js";
import { installFromIndex } from "./from-index.js";
import { checkedOptions } from "./options.js";
import { resolveIndex } from "./package-index.js";
import { memberPart, targetOf, wheelPart } from "./places.js";
import { TotalProgress } from "./progress.js";
import type { Installed, InstallOptions, Wheel, WheelMember } from "./types.js";

/** The file in the folder that one process at a time holds. It is removed at the end. */
const lockName = "install.lock";

/** Whether a file is there with the right content. */
async function isPresent(
  folder: string,
  member: WheelMember,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const path = targetOf(folder, member);
  const status = await stat(path).catch(() => undefined);
  if (status?.size !== member.size || !status.isFile()) return false;
  return (await hashFile(path, signal))?.sha256 === member.sha256;
}

/** Returns the wheels with the members that are missing in the folder, without the wheels that have none. */
async function missingOf(
  folder: string,
  wheels: readonly Wheel[],
  signal: AbortSignal | undefined,
): Promise<Wheel[]> {
  const missing: Wheel[] = [];
  for (const wheel of wheels) {
    const members: WheelMember[] = [];
    for (const member of wheel.members)
      if (!(await isPresent(folder, member, signal))) members.push(member);
    if (members.length > 0) missing.push({ ...wheel, members });
  }
  return missing;
}

/** Removes what calls left of downloads, all of it or the empty files. */
async function discardParts(
  folder: string,
  wheels: readonly Wheel[],
  discard = discardPart,
): Promise<void> {
  for (const wheel of wheels) {
    await discard(wheelPart(folder, wheel)).catch(() => {});
    for (const member of wheel.members) await discard(memberPart(folder, member)).catch(() => {});
  }
}

const namesOf = (wheels: readonly Wheel[]) =>
  wheels.flatMap(({ members }) => members.map(({ to }) => to));

/** Returns the error of a machine that may not use the network. */
function offline(missing: readonly Wheel[]): VggError {
  const files = missing.map(({ file }) => file).join(", ");
  return new VggError(
    "OFFLINE",
    `Expected ${namesOf(missing).join(", ")} but VGG_OFFLINE forbids the network; put ${files} into a folder and give it with --from`,
  );
}

/** Checks that the folder of wheels is one. @throws {VggError} OFFLINE, FOLDER_UNUSABLE */
async function checkFolder(from: string): Promise<void> {
  const status = await withFile(from, () => stat(from)).catch((error) => {
    if (!isMissing(error.cause)) throw error;
  });
  if (status?.isDirectory()) return;
  throw new VggError(
    "OFFLINE",
    `Expected a folder with NVIDIA's wheels for --from but ${from} is none`,
  );
}

/**
 * Places each member's file under `folder`, whole or not at all, and checks its SHA-256. A file that is there with the
 * right content stays. What a stopped or killed call received is kept beside it, and the next call goes on from there.
 * One process at a time installs into a folder, the others wait.
 * @throws {TypeError|RangeError} wrong options
 * @throws {VggError} DOWNLOAD_FAILED, HASH_MISMATCH, DISK_FULL, FOLDER_UNUSABLE; OFFLINE: `VGG_OFFLINE` is set, pip is
 * told to use no index, or a wheel is missing in `from`
 * @throws the signal's reason
 */
export async function installFiles(given: InstallOptions): Promise<Installed> {
  const { folder, wheels, index, from, signal, onProgress, environment, ...rest } =
    checkedOptions(given);
  signal?.throwIfAborted();
  const all = namesOf(wheels);
  let missing = await missingOf(folder, wheels, signal);
  if (missing.length === 0) return { placed: [], present: all, receivedBytes: 0 };
  if (from === undefined && isOffline(environment)) throw offline(missing);
  if (from !== undefined) await checkFolder(from);
  const resolved = from === undefined ? await resolveIndex({ index, environment }) : undefined;
  await withFile(folder, () => makeFolder(folder));
  const onWaiting = () => onProgress({ receivedBytes: 0, totalBytes: undefined, isWaiting: true });
  return underLock(join(folder, lockName), signal, onWaiting, async (lock, either) => {
    // Another process may have installed some by now. A former owner that may be alive may still write to its parts.
    missing = await missingOf(folder, missing, either);
    if (lock.isContested) await discardParts(folder, wheels);
    const progress = new TotalProgress(onProgress);
    const work = { folder, wheels: missing, progress };
    const timeoutMs = rest.timeoutMs ?? resolved?.timeoutMs ?? 30_000;
    const options = { ...rest, timeoutMs, signal: either, connection: resolved?.connection };
    try {
      if (resolved === undefined) await installFromFolder(from!, work, either);
      else await installFromIndex(resolved, work, options);
    } catch (error) {
      if (await lock.isHeld().catch(() => true))
        await discardParts(folder, missing, discardEmptyPart);
      throw error;
    }
    await discardParts(folder, wheels);
    const placed = namesOf(missing);
    const present = all.filter((to) => !placed.includes(to));
    // With a folder, the progress counts the bytes of wheels as they are read.
    const receivedBytes = from === undefined ? progress.receivedBytes : 0;
    return { placed, present, receivedBytes };
  });
}
