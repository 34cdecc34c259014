// Gives the server a thread for each core to decode images with. libuv reads their number before any of our code runs.
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";

/** libuv's own number. */
const usualThreads = 4;

/** More than libuv takes. */
const maxThreads = 1024;

/**
 * Runs the same command line in a process with more threads, unless the environment says how many, or four suffice.
 * Signals are passed on. The new process ends if this one dies.
 * @returns whether another process has done the work; then its status is this one's
 */
export async function runWithThreads(): Promise<boolean> {
  const threads = Math.min(availableParallelism(), maxThreads);
  if (process.env.UV_THREADPOOL_SIZE !== undefined || threads <= usualThreads) return false;
  const args = [...process.execArgv, ...process.argv.slice(1)];
  // The new process may run before `spawn` returns, so the signals are taken first.
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const)
    process.on(signal, () => child.kill(signal));
  const child = spawn(process.execPath, args, {
    stdio: ["inherit", "inherit", "inherit", "ipc"],
    env: { ...process.env, UV_THREADPOOL_SIZE: String(threads) },
    // A terminal would send Ctrl-C to both, and the second signal ends the server at once.
    detached: true,
  });
  const [status, signal] = await new Promise<[number | null, NodeJS.Signals | null]>(
    (resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (...end) => resolve(end));
    },
  );
  process.exit(signal === null ? (status ?? 1) : 1);
}
