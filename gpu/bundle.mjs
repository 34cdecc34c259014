// Makes build/gpu-bundle, which has all that a machine with a GPU and without a network needs to check and measure this package.
// Usage: npm run gpu:bundle, then copy that folder and run `bash accept.sh` in it (docs/gpu.md).
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = join(root, "build/gpu-bundle");
const tree = join(root, "build/gpu-bundle.tree");
const mostBytes = 60 * 2 ** 20;

if (process.platform !== "linux")
  throw new Error(`Expected Linux but received ${process.platform}`);
for (const path of [folder, tree]) rmSync(path, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

const copy = (path, to = path) => cpSync(join(root, path), join(tree, to), { recursive: true });
const needed = [
  ...[
    "package.json",
    "tsconfig.json",
    "vitest.config.ts",
    "CMakeLists.txt",
    "binding.gyp",
    "README.md",
  ],
  ...[
    "dist",
    "lib",
    "native",
    "test",
    "examples",
    "gpu",
    "build/Release/vgg_cudnn.node",
    "build/core_test",
  ],
];
for (const path of needed) copy(path);
// These tests build addons with npm/, CMake and a compiler, which that machine lacks.
rmSync(join(tree, "test/library/install"), { recursive: true });
for (const file of [
  "load.mjs",
  "memory.mjs",
  "overhead.mjs",
  "zeros.mjs",
  "cores.mjs",
  "markdown.mjs",
  "statistics.mjs",
])
  copy(join("bench", file));

// The packages that the suite and dist import, with all their installed dependencies.
// cmake-js is not among them, because nothing is built on that machine.
const roots = ["vitest", "fast-check", "commander", "ora", "sharp", "tinyglobby", "undici"];
const packed = new Set();
function pack(name, from) {
  let at = from;
  while (!existsSync(join(at, "node_modules", name, "package.json"))) {
    if (at === dirname(at)) return; // An optional package for another platform.
    at = dirname(at);
  }
  const path = join(at, "node_modules", name);
  if (packed.has(path)) return;
  packed.add(path);
  const { dependencies, optionalDependencies, peerDependencies } = JSON.parse(
    readFileSync(join(path, "package.json"), "utf8"),
  );
  cpSync(path, join(tree, path.slice(root.length)), {
    recursive: true,
    filter: (source) =>
      !source.slice(path.length).includes("/node_modules") && !/\.(map|d\.[cm]?ts)$/.test(source),
  });
  for (const other of Object.keys({
    ...dependencies,
    ...optionalDependencies,
    ...peerDependencies,
  })) {
    // Types and their compiler have no use at run time.
    if (!other.startsWith("@types/") && other !== "typescript") pack(other, path);
  }
}
for (const name of roots) pack(name, root);

// Copies this Node, without its symbols if it still works then.
const node = join(tree, "bin/node");
mkdirSync(dirname(node));
cpSync(process.execPath, node);
const stripped = `${node}.stripped`;
const isStripped = spawnSync("strip", ["-o", stripped, node]).status === 0;
const load = `require(${JSON.stringify(join(tree, "build/Release/vgg_cudnn.node"))}).cpuInfo()`;
if (isStripped && spawnSync(stripped, ["-e", load]).status === 0) cpSync(stripped, node);
rmSync(stripped, { force: true });
chmodSync(node, 0o755);

// Only for machines with an older libstdc++. accept.sh decides.
const compat = join(tree, "lib-compat");
mkdirSync(compat);
for (const name of ["libstdc++.so.6", "libgcc_s.so.1"]) {
  const lines = execFileSync("ldd", [join(tree, "build/Release/vgg_cudnn.node")], {
    encoding: "utf8",
  });
  const path = lines.match(new RegExp(`${name.replaceAll("+", "\\+")} => (\\S+)`))?.[1];
  if (path) cpSync(path, join(compat, name), { dereference: true });
}

/** The newest glibc that Node or the addon needs. */
function glibcNeeded() {
  const versions = [node, join(tree, "build/Release/vgg_cudnn.node")]
    .flatMap((file) => [...readFileSync(file, "latin1").matchAll(/GLIBC_2\.(\d+)/g)])
    .map(([, minor]) => Number(minor));
  return `2.${Math.max(...versions)}`;
}

const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const git = spawnSync("git", ["describe", "--always", "--dirty"], { cwd: root, encoding: "utf8" });
const manifest = {
  version,
  commit: git.stdout?.trim() || null,
  node: process.version,
  platform: `${process.platform}-${process.arch}`,
  glibc: glibcNeeded(),
  made: new Date().toISOString(),
};
writeFileSync(join(tree, "bundle.json"), `${JSON.stringify(manifest, null, 2)}\n`);

const archive = join(folder, "vgg-cudnn-gpu.tar.xz");
execFileSync("tar", ["-cJf", archive, "--owner=0", "--group=0", "-C", tree, "."], {
  env: { ...process.env, XZ_OPT: "-2 -T0" },
  stdio: "inherit",
});
rmSync(tree, { recursive: true });
cpSync(join(root, "gpu/accept.sh"), join(folder, "accept.sh"));
writeFileSync(join(folder, "bundle.json"), `${JSON.stringify(manifest, null, 2)}\n`);

const bytes = statSync(archive).size;
console.log(
  `${folder}: ${(bytes / 2 ** 20).toFixed(1)} MiB, Node ${manifest.node}, ${packed.size} packages; needs glibc ${manifest.glibc} or newer`,
);
if (bytes > mostBytes)
  throw new Error(`Expected at most ${mostBytes} bytes but the archive has ${bytes}`);
