// The names of temporary files that are later renamed into place. A name identifies the process that writes the file, so
// that files of killed processes can be removed.
import { createHash, randomBytes } from "node:crypto";
import { readFile, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { bare } from "../check.js";

const latin1 = bare({ encoding: "latin1" as const });
const ageMs = 24 * 60 * 60 * 1000;
const pattern = /^\.vgg-(?:([0-9a-f]{8})-(\d+)-(\d+)-)?[0-9a-f]{12}\.part$/;

/** Returns when a process started, in ticks since the machine's start (proc(5), /proc/pid/stat, field 22). */
async function startOf(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, latin1);
  // The second field is a name in parentheses, which may hold spaces and parentheses.
  return text.slice(text.lastIndexOf(")") + 2).split(" ")[19]!;
}

/**
 * Identifies the scope in which process ids are unique: one pid namespace between two starts of a machine. Undefined if
 * the system does not provide it.
 */
async function findHome(): Promise<string | undefined> {
  try {
    const parts = await Promise.all([
      readFile("/proc/sys/kernel/random/boot_id", latin1),
      readlink("/proc/self/ns/pid", latin1),
    ]);
    return createHash("sha256").update(parts.join()).digest("hex").slice(0, 8);
  } catch {
    return undefined;
  }
}

let home: Promise<string | undefined> | undefined;
const ownHome = () => (home ??= findHome());

/** Returns `.vgg-HOME-PID-START-RANDOM.part`, or `.vgg-RANDOM.part` if the system does not provide these. */
export async function newPartName(): Promise<string> {
  const where = await ownHome();
  const start = await startOf(process.pid).catch(() => undefined);
  const owner = where && start ? `${where}-${process.pid}-${start}-` : "";
  return `.vgg-${owner}${randomBytes(6).toString("hex")}.part`;
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/**
 * Whether a file has no writer any more: its process has the same home as this one and has ended, or the file has not
 * changed for a day. Only the second rule applies to a process of another host or container, or without a known home.
 * This process's files are never stale, since another thread may be writing.
 */
export async function isStalePart(folder: string, name: string): Promise<boolean> {
  const match = pattern.exec(name);
  if (match === null) return false;
  const [, where, id, start] = match;
  if (where !== undefined && where === (await ownHome())) {
    const pid = Number(id);
    if (!exists(pid)) return true;
    // Another process may have the id by now. Some systems do not show the processes of other users.
    return (await startOf(pid).catch(() => start)) !== start;
  }
  const status = await stat(join(folder, name)).catch(() => undefined);
  return status !== undefined && Date.now() - status.mtimeMs > ageMs;
}
