// Installs from wheels in a folder, without a network.
import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { VggError } from "../errors.js";
import { ifMissing, withFile } from "../files/errors.js";
import { hashFile } from "../files/hash-file.js";
import { makeFolder } from "../files/make-folder.js";
import { checkRoom, targetOf } from "./places.js";
import type { TotalProgress } from "./progress.js";
import type { Wheel } from "./types.js";
import { locate, unpack } from "./unpack.js";
import { LocalWheel, OpenFile, otherWheel, readWheelDirectory } from "./wheel-source.js";

/** The wheels with their missing members, and where these go. */
export interface Work {
  readonly folder: string;
  readonly wheels: readonly Wheel[];
  readonly progress: TotalProgress;
}

/** Places a wheel's members from its file, whose hash is right. @throws {VggError} HASH_MISMATCH, DISK_FULL, FOLDER_UNUSABLE */
export async function unpackWheel(
  path: string,
  wheel: Wheel,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const file = await OpenFile.open(path);
  try {
    const source = new LocalWheel(file, wheel);
    const directory = await readWheelDirectory(source);
    for (const located of locate(source, directory, wheel.members)) {
      const target = targetOf(folder, located.member);
      await withFile(target, () => makeFolder(dirname(target)));
      await unpack(source, located, { file, base: 0 }, target, signal);
    }
  } finally {
    await file.close();
  }
}

/**
 * Places the members of wheels that lie in `from`. All wheels must be there before the first is unpacked.
 * @throws {VggError} OFFLINE: wheels are missing; HASH_MISMATCH: one is not the tested one; DISK_FULL, FOLDER_UNUSABLE
 */
export async function installFromFolder(
  from: string,
  { folder, wheels, progress }: Work,
  signal: AbortSignal,
): Promise<void> {
  const absent: string[] = [];
  for (const wheel of wheels) {
    const path = join(from, wheel.file);
    const status = await withFile(path, () => stat(path).catch(ifMissing));
    if (status === undefined) absent.push(wheel.file);
    else if (status.size !== wheel.size)
      throw otherWheel(path, `Expected ${wheel.size} bytes but it has ${status.size}`);
    progress.expect(wheel.file, wheel.size);
  }
  if (absent.length > 0) {
    const files = absent.join(", ");
    throw new VggError("OFFLINE", `Expected ${files} in ${from} but found none; put it there`);
  }
  const members = wheels.flatMap((wheel) => wheel.members);
  await checkRoom(
    folder,
    members.reduce((sum, { size }) => sum + size, 0),
  );
  for (const wheel of wheels) {
    const path = join(from, wheel.file);
    const hashed = await hashFile(path, signal, (bytes) => progress.at(wheel.file, bytes));
    if (hashed?.sha256 !== wheel.sha256)
      throw otherWheel(path, `Expected the SHA-256 ${wheel.sha256} but received ${hashed?.sha256}`);
    await unpackWheel(path, wheel, folder, signal);
  }
}
