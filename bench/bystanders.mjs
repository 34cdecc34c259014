// Measures how much of the machine others used during a run: other processes, and other guests of the host. Linux only.
import { readFileSync } from "node:fs";

const fields = (path) =>
  readFileSync(path, "utf8")
    .split("\n")[0]
    .replace(/^.*\) /, "")
    .split(/\s+/);

/** Ticks of all cores since the machine started, and ticks of this process with the children that it has waited for. */
function ticks() {
  const [, user, nice, system, idle, wait, interrupts, soft, stolen] =
    fields("/proc/stat").map(Number);
  const busy = user + nice + system + interrupts + soft + stolen;
  const own = fields("/proc/self/stat").slice(11, 15).map(Number);
  return { all: busy + idle + wait, busy, own: own.reduce((sum, value) => sum + value) };
}

/** @returns a function that returns the share of the cores' time that others used since, or null if this is not Linux */
export function watchBystanders() {
  if (process.platform !== "linux") return () => null;
  const before = ticks();
  return () => {
    const now = ticks();
    const others = now.busy - before.busy - (now.own - before.own);
    return Math.max(0, others / (now.all - before.all));
  };
}
