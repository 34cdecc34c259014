// A lock between processes: a file that names its owner. The owner touches it while working; an untouched lock is taken
// over.
import { randomUUID } from "node:crypto";
import { readFileSync, unlinkSync } from "node:fs";
import { lstat, open, rename, rm, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { bare } from "../check.js";
import { VggError } from "../errors.js";
import { ifMissing, withFile } from "./errors.js";
import { despiteUse } from "./in-use.js";
import { readWhole } from "./read-whole.js";
import { removeAtExit, removeTemporary } from "./temporary-files.js";

const heartbeatMs = 5_000;
const staleMs = 60_000;

export interface Lock {
  /** Aborts when another process takes the lock over, because this one was silent for a minute. */
  readonly lost: AbortSignal;
  /** The lock was taken from an owner that may be alive and may still write. */
  readonly isContested: boolean;
  /** Whether this process still holds the lock. @throws {VggError} FOLDER_UNUSABLE */
  isHeld(): Promise<boolean>;
  /** Removes the lock if it is still held. */
  release(): Promise<void>;
}

interface Owner {
  pid: number;
  host: string;
  token: string;
}

/** Parses the owner. Undefined until the owner has written it. */
function parseOwner(text: string): Owner | undefined {
  try {
    return JSON.parse(text) as Owner;
  } catch {
    return undefined;
  }
}

/** Reads the owner. Undefined if there is no lock or it does not name its owner yet. @throws {VggError} FOLDER_UNUSABLE */
async function readOwner(path: string): Promise<Owner | undefined> {
  const text = await withFile(path, () => despiteUse(() => readWhole(path)).catch(ifMissing));
  return text === undefined ? undefined : parseOwner(text);
}

/** Locks that this process no longer holds but could not remove: their tokens, or their paths if they name no owner. */
const leftBehind = new Set<string>();

function isDead(path: string, owner: Owner | undefined): boolean {
  if (leftBehind.has(owner?.token ?? path)) return true;
  if (owner?.host !== hostname() || !Number.isInteger(owner.pid)) return false;
  try {
    process.kill(owner.pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/** Watches a lock for a process that waits for it. Another host's clock may be wrong, so this one's clock measures too. */
export class LockWatch {
  #modifiedMs = Number.NaN;
  #sinceMs = 0;

  /** Whether the lock has not been touched for a minute, either by its date or while it was watched. */
  isSilent(modifiedMs: number): boolean {
    const nowMs = performance.now();
    if (modifiedMs !== this.#modifiedMs) {
      this.#modifiedMs = modifiedMs;
      this.#sinceMs = nowMs;
    }
    return Date.now() - modifiedMs >= staleMs || nowMs - this.#sinceMs >= staleMs;
  }
}

type Removal = "none" | "of the dead" | "of the silent";

/** Removes a lock whose owner is gone. If two processes try at once, a rename decides between them. */
async function removeStale(path: string, watch: LockWatch): Promise<Removal> {
  const status = await despiteUse(() => lstat(path)).catch(ifMissing);
  if (status === undefined) return "none";
  if (!status.isFile())
    throw new VggError("FOLDER_UNUSABLE", `Expected a regular file, or none, at ${path}`);
  const owner = await readOwner(path);
  const hasDied = isDead(path, owner);
  if (!hasDied && !watch.isSilent(status.mtimeMs)) return "none";
  const aside = `${path}.${randomUUID()}`;
  const isMine = await despiteUse(() => rename(path, aside)).then(() => true, ifMissing);
  if (!isMine) return "none";
  leftBehind.delete(path);
  if (owner !== undefined) leftBehind.delete(owner.token);
  await removeTemporary(aside);
  return hasDied ? "of the dead" : "of the silent";
}

/**
 * Takes the lock. Returns undefined while another process holds it.
 * @param watch the same object in all calls of one wait
 * @throws the system's error, such as EACCES @throws {VggError} FOLDER_UNUSABLE: the path is not a regular file
 */
export async function tryLock(path: string, watch: LockWatch): Promise<Lock | undefined> {
  const removal = await removeStale(path, watch);
  const token = randomUUID();
  const file = await despiteUse(() => open(path, "wx")).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  if (file === undefined) return undefined;
  try {
    await file
      .writeFile(JSON.stringify({ pid: process.pid, host: hostname(), token }))
      .finally(() => file.close());
  } catch (error) {
    await rm(path, bare({ force: true })).catch(() => void leftBehind.add(path));
    throw error;
  }

  const lost = new AbortController();
  const isHeld = async () => (await readOwner(path))?.token === token;
  const heartbeat = setInterval(async () => {
    // An unreadable lock may be readable at the next heartbeat.
    if (!(await isHeld().catch(() => true)))
      return lost.abort(new Error("the lock was taken over"));
    const now = new Date();
    await utimes(path, now, now).catch(() => {});
  }, heartbeatMs);
  heartbeat.unref();
  const forget = removeAtExit(() => {
    if (parseOwner(readFileSync(path, "utf8"))?.token === token) unlinkSync(path);
  });

  return {
    lost: lost.signal,
    isContested: removal === "of the silent",
    isHeld,
    async release() {
      clearInterval(heartbeat);
      try {
        if (await isHeld()) await despiteUse(() => rm(path, bare({ force: true })));
        forget();
      } catch {
        leftBehind.add(token);
      }
    },
  };
}
