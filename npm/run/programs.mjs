// Runs programs for the tools of npm/run/, and says which are missing.
import { spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { Interrupted, ToolError } from "../tools.mjs";

/** @returns the first of these programs that exists: a path, or a name that PATH has; else undefined */
export function findProgram(...names) {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const paths = names.flatMap((name) =>
    name.includes("/") ? name : folders.map((folder) => join(folder, name)),
  );
  return paths.find((path) => existsSync(path));
}

/**
 * Says what a runner lacks on this machine.
 * @param needs what it needs: `programs`, names or paths, any one suffices, and the Debian `packages` that have it
 * @throws {ToolError} with one sentence that says what to install
 */
export function requirePrograms(platform, needs) {
  const missing = needs.filter(({ programs }) => findProgram(...programs) === undefined);
  if (missing.length === 0) return;
  const names = missing.map(({ programs }) => programs[0]).join(" and ");
  const packages = missing.map((need) => need.packages).join(" ");
  throw new ToolError(`${platform} needs ${names} to run. On Debian: apt install ${packages}`);
}

/** Runs a program that must succeed, such as an installer. @returns its output. @throws {ToolError} `otherwise`, and its last line */
export function must(command, args, { otherwise, ...options }) {
  const given = { encoding: "utf8", maxBuffer: 2 ** 28, ...options };
  const { error, status, stdout, stderr } = spawnSync(command, args, given);
  if (error === undefined && status === 0) return stdout;
  const last = error?.message ?? stderr.trimEnd().split("\n").at(-1);
  throw new ToolError(`${otherwise} (${last || `status ${status}`})`);
}

/** Ends a program and the ones that it started. Through sudo if they are root's, because sudo started them. */
function killGroup(pid) {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (error.code === "EPERM") spawnSync("sudo", ["-n", "kill", "-KILL", "--", `-${pid}`]);
    else if (error.code !== "ESRCH") throw error;
  }
}

const signals = ["SIGINT", "SIGTERM"];

/** Calls a function when a signal asks this process to end, instead of ending at once. @returns what undoes this */
export function onInterruption(act) {
  for (const signal of signals) process.on(signal, act);
  return () => {
    for (const signal of signals) process.off(signal, act);
  };
}

/**
 * Runs a program with files as its output, because Wine cannot write to pipes.
 * @param options.limit the seconds after which it is killed
 * @returns `stdout`, `stderr`, `seconds`, and `failure`: undefined, or how it ended
 * @throws {Interrupted} if this process is asked to end. The program is killed first.
 */
export async function runWithFiles(command, args, { limit, ...options }) {
  const folder = mkdtempSync(join(tmpdir(), "vgg-run-"));
  const files = ["stdout", "stderr"].map((name) => join(folder, name));
  const descriptors = files.map((file) => openSync(file, "w"));
  const start = performance.now();
  let isLate = false;
  let isInterrupted = false;
  try {
    const stdio = ["ignore", ...descriptors];
    const child = spawn(command, args, { ...options, stdio, detached: true });
    const timer = setTimeout(() => {
      isLate = true;
      killGroup(child.pid);
    }, limit * 1000);
    // A detached program does not see Ctrl+C.
    const stopListening = onInterruption(() => {
      isInterrupted = true;
      killGroup(child.pid);
    });
    const failure = await new Promise((resolve) => {
      child.on("error", (error) => resolve(error.message));
      child.on("exit", (status, signal) => resolve(status === 0 ? undefined : (signal ?? status)));
    });
    clearTimeout(timer);
    stopListening();
    if (isInterrupted) throw new Interrupted();
    const [stdout, stderr] = files.map((file) => readFileSync(file, "utf8"));
    const seconds = (performance.now() - start) / 1000;
    return { stdout, stderr, seconds, failure: isLate ? `no end within ${limit} s` : failure };
  } finally {
    for (const descriptor of descriptors) closeSync(descriptor);
    rmSync(folder, { recursive: true });
  }
}
