// The peers that need Python: one virtual environment in .cache/bench-venv with exactly these packages.
// Usage: node bench/python.mjs [--torch]. `npm run bench` calls it.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../.cache/bench-venv", import.meta.url));
export const python = join(folder, "bin/python");
export const mnnConvert = join(folder, "bin/mnnconvert");

// --no-deps: their other dependencies serve only converters and model zoos.
const packages = {
  MNN: ["--no-deps", "mnn==3.6.1", "numpy==2.4.6"],
  ncnn: ["--no-deps", "ncnn==1.0.20261020", "numpy==2.4.6"],
  OpenVINO: ["--no-deps", "openvino==2026.4.1", "numpy==2.4.6"],
  // PyPI's only wheel for Linux x86-64 does not load without 5 GB of CUDA libraries, so it needs --torch.
  PyTorch: ["torch==2.15.0", "numpy==2.4.6"],
};

function run(command, ...args) {
  const { status, error, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status === 0) return null;
  const lines = (error?.message ?? stderr).trim().split("\n");
  return lines.findLast((line) => /error/i.test(line)) ?? lines.at(-1);
}

/** Creates or completes the environment. @returns engine → the reason why it is absent */
export function installPython(hasTorch) {
  const failure = run(python, "--version") === null ? null : run("python3", "-m", "venv", folder);
  const absent = new Map();
  for (const [engine, wanted] of Object.entries(packages)) {
    const reason =
      failure ??
      (engine === "PyTorch" && !hasTorch
        ? "needs 5 GB; --torch installs it"
        : run(python, "-m", "pip", "install", "--only-binary=:all:", ...wanted));
    if (reason !== null) absent.set(engine, reason);
  }
  return absent;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const absent = installPython(process.argv.includes("--torch"));
  for (const [engine, reason] of absent) console.log(`${engine}: ${reason}`);
}
