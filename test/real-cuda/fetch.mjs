// `npm run cuda:fetch` installs NVIDIA's libraries into .cache/nvidia by `vgg cuda install`, and beside them the headers of
// headers.txt, which the tests compile against.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { installFiles } from "../../dist/nvidia/install.js";
import { parseSets } from "../../dist/nvidia/sets/set.js";

const cache = fileURLToPath(new URL("../../.cache/nvidia", import.meta.url));
const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const headers = readFileSync(new URL("headers.txt", import.meta.url), "utf8");

/** Runs a part and prints how long it took. */
async function timed(label, part) {
  const start = performance.now();
  const said = await part();
  console.log(`${label}: ${said} in ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

async function installLibraries(cuda) {
  const args = ["cuda", "install", "--cuda", `${cuda}`, "--accept-license", "--json"];
  const folder = join(cache, "sets");
  const child = spawn(process.execPath, [script, ...args, "--folder", folder], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.on("data", (data) => {
    text += data;
  });
  const [status] = await once(child, "close");
  if (status !== 0) throw new Error(`vgg cuda install --cuda ${cuda} ended with status ${status}`);
  const { name, bytes, wasInstalled } = JSON.parse(text);
  return `${name}, ${(bytes / 1e6).toFixed(0)} MB, ${wasInstalled ? "present" : "installed"}`;
}

async function installHeaders({ cuda, wheels }) {
  // Each keeps its path, because headers include each other by it.
  const whole = wheels.map((wheel) => ({
    ...wheel,
    members: wheel.members.map((member) => ({ ...member, to: member.path })),
  }));
  const folder = join(cache, "headers", `cuda${cuda}`);
  const receipt = join(folder, "receipt.txt");
  // Headers of other versions may have other names.
  if (existsSync(receipt) && readFileSync(receipt, "utf8") !== headers)
    rmSync(folder, { recursive: true });
  const { placed, present } = await installFiles({ folder, wheels: whole });
  writeFileSync(receipt, headers);
  return `${placed.length} headers installed, ${present.length} present`;
}

// The layout of earlier versions.
for (const name of ["cuda12", "cuda13"])
  rmSync(join(cache, name), { recursive: true, force: true });
await Promise.all([
  ...[13, 12].map((cuda) => timed(`libraries of CUDA ${cuda}`, () => installLibraries(cuda))),
  ...parseSets(headers).map((set) =>
    timed(`headers of CUDA ${set.cuda}`, () => installHeaders(set)),
  ),
]);
