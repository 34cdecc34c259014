// Makes every allocation and thread start of the addon fail in lives of graphs, tensors, images, devices and workers. Each
// fails alone, then together with all later ones. The failure must be OUT_OF_MEMORY or have no effect, nothing may leak or
// hang, and the next call must work. node test/faults/allocations.mjs [step]: only every step-th fails.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const wanted = Number(process.argv[2] ?? 1);
const patience = 60_000;
const child = fileURLToPath(new URL("life.mjs", import.meta.url));
const shim = fileURLToPath(new URL("../../build/Release/allocation_faults.node", import.meta.url));
const lives = [
  "graph",
  "half",
  "operations",
  "tensors",
  "abort",
  "image",
  "information",
  "open",
  "worker",
];

let passed = 0;
let failed = 0;

function problem(what) {
  failed++;
  console.error(what);
}

/** Runs the faults of a life from number `first` on. Resolves with 0, or with the next fault if the process ended early. */
function run(name, mode, first) {
  // There are few calls, and each is of another kind.
  const step = name === "open" ? 1 : wanted;
  return new Promise((resolve) => {
    const node = spawn(
      process.execPath,
      ["--expose-gc", child, name, mode, `${first}`, `${step}`],
      {
        env: { ...process.env, LD_PRELOAD: shim },
      },
    );
    let at = 0;
    let isComplete = false;
    let errors = "";
    let text = "";
    let watch;
    const wait = () => {
      clearTimeout(watch);
      watch = setTimeout(() => {
        errors = `no answer in ${patience} ms`;
        node.kill("SIGKILL");
      }, patience);
    };
    wait();
    node.stderr.on("data", (data) => {
      errors = `${errors}${data}`.slice(-2000);
    });
    node.stdout.on("data", (data) => {
      wait();
      const lines = `${text}${data}`.split("\n");
      text = lines.pop();
      for (const line of lines) {
        if (line.startsWith("fault ")) at = Number(line.slice(6));
        else if (line === "passed") passed++;
        else if (line === "complete") isComplete = true;
        else problem(`${name} (${mode}), call ${at}: ${line}`);
      }
    });
    node.on("close", (code, signal) => {
      clearTimeout(watch);
      if (code !== 0)
        problem(
          `${name} (${mode}), call ${at}: the process ended with ${signal ?? code}: ${errors}`,
        );
      resolve(isComplete || at === 0 ? 0 : at + step);
    });
  });
}

for (const name of lives) {
  for (const mode of ["once", "lasting"]) {
    const start = Date.now();
    const before = passed + failed;
    for (let next = 1; next > 0; ) next = await run(name, mode, next);
    console.log(
      `${name} (${mode}): ${passed + failed - before} faults in ${((Date.now() - start) / 1000).toFixed(1)} s`,
    );
  }
}
console.log(`Allocations and thread starts of the addon (step ${wanted}).`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
