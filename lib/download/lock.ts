// A lock between processes as a file that names its owner, who touches it while at work; one that nobody touches is taken over.
import { randomUUID } from "node:crypto";
import { readFileSync, unlinkSync } from "node:fs";
import { lstat, open, rename, rm, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { bare } from "../check.js";
import { VggError } from "../errors.js";
import { ifMissing, withFile } from "../files/errors.js";
import { readWhole } from "../files/read-whole.js";
import { removeAtExit, removeTemporary } from "../files/temporary-files.js";

const heartbeatMs = 5_000;
const staleMs = 60_000;

export interface Lock {
  /** Another process took it over, because this one was silent for a minute. */
  readonly lost: AbortSignal;
  /** It was taken from an owner who may be alive, and may still write. */
  readonly isContested: boolean;
  /** @throws {VggError} FOLDER_UNUSABLE */
  isHeld(): Promise<boolean>;
  /** Removes it, if it is still held. */
  release(): Promise<void>;
}

interface Owner {
  pid: number;
  host: string;
  token: string;
}

/** Undefined until the owner has written who he is. */
function parseOwner(text: string): Owner | undefined {
  try {
    return JSON.parse(text) as Owner;
  } catch {
    return undefined;
  }
}

/** Undefined where there is no lock, or it has no owner's name yet. @throws {VggError} FOLDER_UNUSABLE */
async function readOwner(path: string): Promise<Owner | undefined> {
  const text = await withFile(path, () => readWhole(path).catch(ifMissing));
  return text === undefined ? undefined : parseOwner(text);
}

/** Tokens of locks that this process holds no more and could not remove; paths of those that have no owner's name. */
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

/** What a process that waits for a lock has seen of it. Another host's clock may be wrong, so its own clock measures. */
export class LockWatch {
  #modifiedMs = Number.NaN;
  #sinceMs = 0;

  /** Whether nobody has touched the lock for a minute: by its date, or as long as it has been watched. */
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

/** Removes a lock whose owner is gone. A rename decides between two processes that see it so at once. */
async function removeStale(path: string, watch: LockWatch): Promise<Removal> {
  const status = await lstat(path).catch(ifMissing);
  if (status === undefined) return "none";
  if (!status.isFile())
    throw new VggError("FOLDER_UNUSABLE", `Expected a regular file, or none, at ${path}`);
  const owner = await readOwner(path);
  const hasDied = isDead(path, owner);
  if (!hasDied && !watch.isSilent(status.mtimeMs)) return "none";
  const aside = `${path}.${randomUUID()}`;
  const isMine = await rename(path, aside).then(() => true, ifMissing);
  if (!isMine) return "none";
  leftBehind.delete(path);
  if (owner !== undefined) leftBehind.delete(owner.token);
  await removeTemporary(aside);
  return hasDied ? "of the dead" : "of the silent";
}

/**
 * The lock, or undefined while another holds it.
 * @param watch the same for each call of one waiting
 * @throws what the system says, such as EACCES @throws {VggError} FOLDER_UNUSABLE something else is in its place
 */
export async function tryLock(path: string, watch: LockWatch): Promise<Lock | undefined> {
  const removal = await removeStale(path, watch);
  const token = randomUUID();
  const file = await open(path, "wx").catch((error: NodeJS.ErrnoException) => {
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
    // What cannot be read now may be at the next beat.
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
        if (await isHeld()) await rm(path, bare({ force: true }));
        forget();
      } catch {
        leftBehind.add(token);
      }
    },
  };
}
