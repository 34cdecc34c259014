// Prints lib/nvidia/sets/tested-sets.ts anew, from the RECORD of each wheel in pip's package index: `node test/real-cuda/sets.mjs`
// after `npm run build`. With `--headers` it prints headers.txt: NVIDIA's headers that the tests of this folder compile against.
import { readFileSync } from "node:fs";
import { latestSet } from "../../dist/nvidia/sets/latest.js";

const read = (name) => readFileSync(new URL(name, import.meta.url), "utf8");
/** The newest versions that a set may have. A platform whose wheels lag has older ones. */
const versions = JSON.parse(read("versions.json"));
const platforms = ["linux-x64", "linux-arm64", "win32-x64", "win32-arm64"];

/** The lines of a set. `extra` goes to the end of the first. */
function linesOf(set, name, extra) {
  const lines = [`set ${name} ${set.platform}${extra}`];
  for (const { name: project, version, file, sha256, size, members } of set.wheels) {
    lines.push(`wheel ${project} ${version} ${file} ${sha256} ${size}`);
    const sorted = [...members].sort((a, b) => (a.path < b.path ? -1 : 1));
    lines.push(...sorted.map(({ path, sha256: hash, size: bytes }) => `${path} ${hash} ${bytes}`));
  }
  return lines;
}

const lines = [];
if (process.argv.includes("--headers")) {
  for (const cuda of [13, 12]) {
    const { packages, headers } = versions[`cuda${cuda}`];
    const takes = (path) => headers.includes(path);
    const all = Object.keys(packages).map((name) => [name, Number(packages[name].split(".")[0])]);
    const request = { platform: "linux-x64", atMost: packages, takes, packages: all };
    const set = await latestSet(cuda, request);
    lines.push(...linesOf(set, `cu${cuda}-${set.wheels[0].version}`, ""));
  }
  process.stdout.write(`${lines.join("\n")}\n`);
} else {
  for (const cuda of [13, 12]) {
    const { packages } = versions[`cuda${cuda}`];
    for (const platform of platforms) {
      const set = await latestSet(cuda, { platform, atMost: packages }).catch((error) => {
        console.error(`cu${cuda} ${platform}: ${error.message}`);
      });
      if (set === undefined) continue; // NVIDIA has no wheels of this CUDA for the platform
      const extra = platform === "linux-x64" ? " tested" : "";
      lines.push(...linesOf(set, `cu${cuda}-${set.wheels[0].version}`, extra));
    }
  }
  const source = read("../../lib/nvidia/sets/tested-sets.ts");
  const start = source.indexOf("= `") + 3;
  process.stdout.write(`${source.slice(0, start)}\n${lines.join("\n")}\n\`;\n`);
}
