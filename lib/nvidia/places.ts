// Where installed files, and what came of a download, lie in the folder; and whether the disk has room for them.
import { stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { VggError } from "../errors.js";
import type { Wheel, WheelMember } from "./types.js";

/** The path of an installed file. */
export function targetOf(folder: string, { to }: WheelMember): string {
  return join(folder, ...to.split("/"));
}

/** The path of what came of a member. Its hash is in it, because a later version may have the same name. */
export function memberPart(folder: string, member: WheelMember): string {
  return `${targetOf(folder, member)}.${member.sha256.slice(0, 8)}.part`;
}

/** The path of what came of a whole wheel. */
export function wheelPart(folder: string, wheel: Wheel): string {
  return join(folder, `${wheel.file}.part`);
}

/** Returns the bytes of files that may be missing. */
export async function bytesOf(paths: readonly string[]): Promise<number> {
  const sizes = paths.map((path) =>
    stat(path).then(
      ({ size }) => size,
      () => 0,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

const megabytes = (bytes: number) => `${Math.ceil(bytes / 1e6).toLocaleString("en-US")} MB`;

/** Checks that a folder's disk has room for further bytes. @throws {VggError} DISK_FULL */
export async function checkRoom(folder: string, bytes: number): Promise<void> {
  // Some file systems cannot say.
  const status = await statfs(folder).catch(() => undefined);
  if (status === undefined || !(status.blocks > 0)) return;
  const free = status.bavail * status.bsize;
  if (free >= bytes) return;
  throw new VggError(
    "DISK_FULL",
    `No room in ${folder}: Expected ${megabytes(bytes)} but ${megabytes(free)} are free; make room, or choose another folder`,
  );
}
