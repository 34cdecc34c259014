// `npm run test:faults` makes everything fail that can fail, one call at a time. With `-- 7` only every seventh call fails.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";

const step = process.argv[2] ?? "1";

function run(command, ...args) {
  const { status, error } = spawnSync(command, args, { stdio: "inherit" });
  if (error) throw error;
  if (status !== 0) process.exitCode = status ?? 1;
  return status === 0;
}

const target = (name) => [
  "cmake-js",
  "compile",
  "--log-level",
  "warn",
  "--parallel",
  "4",
  "--target",
  name,
];
// Both preload a library that is written for Linux.
const isLinux = process.platform === "linux";
const targets = ["faults_test", ...(isLinux ? ["allocation_faults", "io_faults"] : [])];
const isBuilt =
  ["build", "build:addon", "build:fake-cuda"].every((script) => run("npm", "run", script)) &&
  targets.every((name) => run("npx", ...target(name)));
/** Runs a program beside others. Its output is written whole when it has ended. */
async function runBeside(command, ...args) {
  const child = spawn("sh", ["-c", 'exec "$@" 2>&1', "sh", command, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [output, [status]] = await Promise.all([text(child.stdout), once(child, "close")]);
  process.stdout.write(output);
  if (status !== 0) process.exitCode = status ?? 1;
}

if (isBuilt) {
  // Each waits for its processes much of the time, so that two cores have time for all three.
  const runs = [runBeside("build/faults_test", "build/fake-cuda", step)];
  if (isLinux) {
    runs.push(runBeside(process.execPath, "test/faults/allocations.mjs", step));
    runs.push(runBeside(process.execPath, "test/faults/io.mjs", step));
  } else {
    console.log("skipped: faults of allocations and file calls, which need Linux");
  }
  await Promise.all(runs);
}
