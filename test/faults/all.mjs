// `npm run test:faults` makes everything fail that can fail, one call at a time. With `-- 7` only every seventh call fails.
import { spawnSync } from "node:child_process";

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
if (isBuilt) {
  run("build/faults_test", "build/fake-cuda", step);
  if (isLinux) {
    run(process.execPath, "test/faults/allocations.mjs", step);
    run(process.execPath, "test/faults/io.mjs", step);
  } else {
    console.log("skipped: faults of allocations and file calls, which need Linux");
  }
}
