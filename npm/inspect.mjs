// `node npm/inspect.mjs [PLATFORM…]`: checks prebuilt addons without running them, and prints their table. docs/prebuilt.md lists the checks.
// Options: --prebuilt build/prebuilt, --json, and --record-sizes, which accepts the present sizes.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { readBinary } from "./binary.mjs";
import { lookAt, platforms, platformsNamed, root, runMain, ToolError } from "./tools.mjs";

/** The names that Node looks up in an addon. */
const wanted = ["napi_register_module_v1", "node_api_module_get_api_version_v1"];

/** What each operating system's files may look like. */
const systems = {
  linux: { format: "elf64", synthetic: [] },
  // The linker defines the two names in each library. Lookups name the library too, so they reach no other one.
  darwin: {
    format: "Mach-O",
    synthetic: ["_mh_dylib_header", "__dso_handle", "_mh_bundle_header"],
  },
  win32: { format: "COFF", synthetic: [] },
};
const machines = { x64: "x86_64", arm64: "aarch64" };

/** The libraries that a file may need. Node itself needs them. node.exe is not one: Electron's program has another name. */
const libraries = {
  glibc:
    /^(lib(c\.so\.6|m\.so\.6|pthread\.so\.0|dl\.so\.2|rt\.so\.1)|ld-linux-(x86-64\.so\.2|aarch64\.so\.1))$/,
  musl: /^libc\.so$/,
  darwin: /^\/usr\/lib\/libSystem\.B\.dylib$/,
  win32: /^(KERNEL32\.dll|api-ms-win-crt-[a-z]+-l1-1-0\.dll)$/i,
};

/** The oldest systems that the files promise to run on. glibc 2.28 and macOS 11 are older than the ones that Node needs. */
const floors = {
  glibc: "glibc 2.28",
  musl: "musl 1.2",
  darwin: "macOS 11.0",
  win32: "Windows 10",
};
const newestGlibc = [2, 28];

const sizesFile = fileURLToPath(new URL("sizes.json", import.meta.url));
const readSizes = () => JSON.parse(readFileSync(sizesFile, "utf8"));
/** How far a size may be from the recorded one. */
const tolerance = 0.2;

const kindOf = ({ os, libc }) => libc ?? os;

/** @returns whether a symbol version is of a glibc that is newer than the floor, or of a library that must not be needed */
function isTooNew(version) {
  const parts = /^GLIBC_(\d+)\.(\d+)(\.\d+)?$/.exec(version);
  if (parts === null) return true;
  const [major, minor] = parts.slice(1).map(Number);
  return major > newestGlibc[0] || (major === newestGlibc[0] && minor > newestGlibc[1]);
}

/** The checks of a platform's facts. Each returns sentences without a subject, one for each problem. */
const checks = [
  function checkMachine({ os, cpu }, { format, machine }) {
    const expected = `${systems[os].format} for ${machines[cpu]}`;
    return format === systems[os].format && machine === machines[cpu]
      ? []
      : [`is ${format} for ${machine}, not ${expected}`];
  },
  function checkExports({ os }, { exports }) {
    const allowed = [...wanted, ...systems[os].synthetic];
    return [
      ...wanted.filter((name) => !exports.includes(name)).map((name) => `does not export ${name}`),
      ...exports.filter((name) => !allowed.includes(name)).map((name) => `exports ${name}`),
    ];
  },
  function checkNeeds(platform, { needs }) {
    const allowed = libraries[kindOf(platform)];
    return needs.filter((name) => !allowed.test(name)).map((name) => `needs ${name}`);
  },
  function checkVersions({ libc }, { versions }) {
    const refused = versions.filter((version) => libc !== "glibc" || isTooNew(version));
    return refused.map((version) => `asks for ${version}`);
  },
  function checkStripped(_, { leftovers }) {
    return leftovers.length > 0 ? [`is not stripped: it has ${leftovers.join(", ")}`] : [];
  },
  function checkSearchPath(_, { searchPath }) {
    return searchPath ? [`has a search path: ${searchPath}`] : [];
  },
  function checkInstructions({ cpu }, { instructions }) {
    if (cpu !== "x64") return [];
    const missing = ["avx2", "avx512"].filter((set) => !(instructions[set] >= 1000));
    return missing.map((set) => `has ${instructions[set] ?? 0} instructions of ${set}`);
  },
  function checkMacos({ os, cpu }, { minimum, isSigned }) {
    if (os !== "darwin") return [];
    return [
      ...(minimum === "11.0" ? [] : [`is for macOS ${minimum ?? "of any version"}, not 11.0`]),
      // Apple's own processors run signed code only.
      ...(isSigned || cpu !== "arm64" ? [] : ["has no code signature"]),
    ];
  },
];

function sizeProblem(bytes, recorded) {
  if (recorded === undefined)
    return [`has no size in npm/sizes.json, record it with --record-sizes`];
  const change = bytes / recorded - 1;
  if (Math.abs(change) <= tolerance) return [];
  const percent = `${Math.round(Math.abs(change) * 100)} % ${change > 0 ? "larger" : "smaller"}`;
  return [
    `is ${percent} than recorded (${bytes} bytes, not ${recorded}): look why, then record it with --record-sizes`,
  ];
}

/** The folders of this machine that must not be in a file: the repository, and the compiler. */
const privatePaths = [root.replace(/\/$/, ""), "/site-packages/ziglang"];
const pathProblems = (contents) =>
  privatePaths
    .filter((path) => contents.includes(path))
    .map((path) => `has the path ${path} in it`);

/** @throws {ToolError} if there is no such file */
function requireFile(name, file) {
  const found = lookAt(file);
  if (!found?.isFile())
    throw new ToolError(
      `Expected an addon for ${name} at ${file} but ${found ? "that is no file. Remove it, and build" : "there is none. Build"} ` +
        `it with: npm run build:prebuilt ${name}`,
    );
}

/**
 * Inspects an addon for a platform. `sizes` has the recorded size of each platform's file, in bytes.
 * @returns its sizes, what it exports and needs, its instruction sets, and `problems`, sentences without a subject
 * @throws {ToolError} if there is no such file, or without LLVM's tools
 */
export function inspect(name, file, sizes = readSizes()) {
  const platform = platforms[name];
  requireFile(name, file);
  const contents = readFileSync(file);
  const facts = readBinary(file);
  const problems = facts
    ? [
        ...checks.flatMap((check) => check(platform, facts)),
        ...pathProblems(contents),
        ...sizeProblem(contents.length, sizes[name]),
      ]
    : ["is no shared library, or a damaged one"];
  return {
    name,
    bytes: contents.length,
    compressed: gzipSync(contents, { level: 9 }).length,
    floor: floors[kindOf(platform)],
    exports: facts?.exports ?? [],
    needs: facts?.needs ?? [],
    versions: facts?.versions ?? [],
    instructions: facts?.instructions ?? {},
    ran: platform.ran,
    problems,
  };
}

/** Records the size of a platform's addon as the one to expect. @throws {ToolError} if there is no such file */
export function recordSize(name, file) {
  requireFile(name, file);
  const sizes = { ...readSizes(), [name]: readFileSync(file).length };
  const ordered = Object.keys(platforms).filter((key) => key in sizes);
  writeFileSync(
    sizesFile,
    `${JSON.stringify(Object.fromEntries(ordered.map((key) => [key, sizes[key]])), null, 2)}\n`,
  );
}

/** A short name for each library: Windows has a dozen for its C library. */
const shortNeeds = (needs) => [
  ...new Set(
    needs.map((name) =>
      name.replace(/^api-ms-win-crt-.*/, "api-ms-win-crt-*").replace(/^.*\//, ""),
    ),
  ),
];

/** @returns the table of inspected files as Markdown */
export function table(found) {
  const megabytes = (bytes) => (bytes / 1e6).toFixed(2);
  const rows = found.map((one) => [
    one.name,
    megabytes(one.bytes),
    megabytes(one.compressed),
    one.floor,
    `${one.exports.length}`,
    shortNeeds(one.needs).join(" "),
    Object.entries(one.instructions)
      .map(([set, count]) => `${set} ${count}`)
      .join(", ") || "NEON",
    one.ran,
  ]);
  const head = [
    "platform",
    "MB",
    "compressed",
    "floor",
    "exports",
    "needs",
    "instructions",
    "checked",
  ];
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [head, head.map(() => "---"), ...rows].map(line).join("\n");
}

function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      prebuilt: { type: "string", default: join(root, "build/prebuilt") },
      json: { type: "boolean", default: false },
      "record-sizes": { type: "boolean", default: false },
    },
  });
  const fileOf = (name) => join(resolve(values.prebuilt), name, "vgg_cudnn.node");
  const names = platformsNamed(positionals).filter(
    (name) => positionals.length > 0 || existsSync(fileOf(name)),
  );
  if (names.length === 0)
    throw new ToolError(
      `Expected addons in ${values.prebuilt}. Build them with: npm run build:prebuilt`,
    );
  if (values["record-sizes"]) for (const name of names) recordSize(name, fileOf(name));
  const found = names.map((name) => inspect(name, fileOf(name)));
  console.log(values.json ? JSON.stringify(found, null, 2) : table(found));
  const problems = found.flatMap(({ name, problems }) =>
    problems.map((problem) => `${name} ${problem}`),
  );
  for (const problem of problems) console.error(`inspect: ${problem}`);
  return problems.length > 0 ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await runMain("inspect", main);
