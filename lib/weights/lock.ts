// A lock between processes as a file that names its owner, who touches it while at work; one that nobody touches is taken over.
import { randomUUID } from "node:crypto";
import { type FileHandle, open, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";

const heartbeatMs = 5_000;
const staleMs = 60_000;

export interface Lock {
  /** Another process took it over, because this one was silent for a minute. */
  readonly lost: AbortSignal;
  /** It was taken from an owner who may be alive, and may still write. */
  readonly isContested: boolean;
  isHeld(): Promise<boolean>;
  /** Removes it, if it is still held. */
  release(): Promise<void>;
}

interface Owner {
  pid: number;
  host: string;
  token: string;
}

/** Undefined where there is no lock, or its owner has not yet written who he is. */
async function readOwner(path: string): Promise<Owner | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Owner;
  } catch {
    return undefined;
  }
}

function isDead(owner: Owner | undefined): boolean {
  if (owner?.host !== hostname() || !Number.isInteger(owner.pid)) return false;
  try {
    process.kill(owner.pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

type Removal = "none" | "of the dead" | "of the silent";

/** Removes a lock whose owner is gone. A rename decides between two processes that see it so at once. */
async function removeStale(path: string): Promise<Removal> {
  const owner = await readOwner(path);
  const status = await stat(path).catch(() => undefined);
  if (status === undefined) return "none";
  const hasDied = isDead(owner);
  if (!hasDied && Date.now() - status.mtimeMs < staleMs) return "none";
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch {
    return "none";
  }
  await rm(aside, { force: true });
  return hasDied ? "of the dead" : "of the silent";
}

/** The lock, or undefined while another holds it. @throws what the file system says, such as EACCES */
export async function tryLock(path: string): Promise<Lock | undefined> {
  const removal = await removeStale(path);
  const token = randomUUID();
  let file: FileHandle;
  try {
    file = await open(path, "wx");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return undefined;
    throw error;
  }
  try {
    await file.writeFile(JSON.stringify({ pid: process.pid, host: hostname(), token }));
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }

  const lost = new AbortController();
  const isHeld = async () => (await readOwner(path))?.token === token;
  const heartbeat = setInterval(async () => {
    if (!(await isHeld())) return lost.abort(new Error("the lock was taken over"));
    const now = new Date();
    await utimes(path, now, now).catch(() => {});
  }, heartbeatMs);
  heartbeat.unref();

  return {
    lost: lost.signal,
    isContested: removal === "of the silent",
    isHeld,
    async release() {
      clearInterval(heartbeat);
      if (await isHeld()) await rm(path, { force: true });
    },
  };
}
