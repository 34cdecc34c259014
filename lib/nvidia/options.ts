// Checks the options of `installFiles`.
import { checkInteger, checkSignal, rangeError, readOptions, typeError } from "../check.js";
import { checkPath } from "../files/replace.js";
import { normalizedName } from "./package-index.js";
import type { InstallOptions, Wheel, WheelMember } from "./types.js";

const optionNames: readonly (keyof InstallOptions)[] = [
  ...(["folder", "wheels", "index", "from", "signal", "onProgress", "environment"] as const),
  ...(["timeoutMs", "retries", "retryDelayMs"] as const),
];
const maxBytes = 2 ** 34;

/** Checks that a path with `/` leads below a folder, on every system. */
function checkTarget(to: unknown, name: string): string {
  if (typeof to !== "string") throw typeError("a string", name, to);
  const isPlain = (part: string) => /^[\w+@~-]([\w.+@~ -]*[\w+@~-])?$/.test(part);
  if (!to.split("/").every(isPlain) || /\.part$/i.test(to))
    throw rangeError(
      "a path below the folder, in plain letters and with / between its parts",
      name,
      to,
    );
  return to;
}

function checkText(value: unknown, name: string, pattern: RegExp, expected: string): string {
  if (typeof value !== "string") throw typeError("a string", name, value);
  if (!pattern.test(value)) throw rangeError(expected, name, value);
  return value;
}

const checkHash = (value: unknown, name: string) =>
  checkText(value, name, /^[0-9a-f]{64}$/, "64 hexadecimal digits in lower case");

function checkMember(given: WheelMember, name: string): WheelMember {
  const member = readOptions(given, name, ["path", "sha256", "size", "to"]);
  return {
    path: checkText(member.path, `${name}.path`, /^[^\0]+$/, "the name of a file in the wheel"),
    sha256: checkHash(member.sha256, `${name}.sha256`),
    size: checkInteger(member.size, `${name}.size`, 0, maxBytes),
    to: checkTarget(member.to, `${name}.to`),
  };
}

function checkWheel(given: Wheel, name: string): Wheel {
  const keys = ["name", "version", "file", "sha256", "size", "members"];
  const wheel = readOptions(given, name, keys);
  const project = checkText(wheel.name, `${name}.name`, /^[\w.-]+$/, "the name of a project");
  const version = checkText(wheel.version, `${name}.version`, /^[\w.!+]+$/, "a version");
  const isOfName = (file: string) => {
    const [, owner, of] = /^([^-]+)-([^-]+)(?:-\d[^-]*)?(?:-[^-]+){3}\.whl$/.exec(file) ?? [];
    return of === version && normalizedName(owner!) === normalizedName(project);
  };
  const { file, members } = wheel;
  if (typeof file !== "string") throw typeError("a string", `${name}.file`, file);
  if (!isOfName(file) || !/^[\w.!+-]+$/.test(file))
    throw rangeError(`a wheel of ${project} ${version}`, `${name}.file`, file);
  if (!Array.isArray(members)) throw typeError("an array", `${name}.members`, members);
  return {
    ...{ name: project, version, file },
    sha256: checkHash(wheel.sha256, `${name}.sha256`),
    size: checkInteger(wheel.size, `${name}.size`, 22, maxBytes),
    members: members.map((member, i) => checkMember(member, `${name}.members[${i}]`)),
  };
}

/** Reads and checks the options. @throws {TypeError|RangeError} */
export function checkedOptions(given: InstallOptions) {
  const options = readOptions(given, "options", optionNames);
  const { folder, index, from, signal, onProgress = () => {}, environment = process.env } = options;
  checkPath(folder, "folder");
  if (from !== undefined) checkPath(from, "from");
  if (index !== undefined && typeof index !== "string") throw typeError("a string", "index", index);
  checkSignal(signal, "signal");
  if (typeof onProgress !== "function") throw typeError("a function", "onProgress", onProgress);
  if (typeof environment !== "object" || environment === null)
    throw typeError("an object", "environment", environment);
  if (!Array.isArray(options.wheels)) throw typeError("an array", "wheels", options.wheels);
  const wheels = options.wheels.map((wheel: Wheel, i) => checkWheel(wheel, `wheels[${i}]`));
  const targets = new Set<string>();
  for (const { to } of wheels.flatMap(({ members }) => members)) {
    // Some systems take names that differ in case for one.
    if (targets.has(to.toLowerCase())) throw rangeError("each file once", "wheels", to);
    targets.add(to.toLowerCase());
  }
  const { timeoutMs, retries = 4, retryDelayMs = 500 } = options;
  return {
    ...{ folder, wheels, index, from, signal, onProgress, environment },
    timeoutMs:
      timeoutMs === undefined ? undefined : checkInteger(timeoutMs, "timeoutMs", 1, 86_400_000),
    retries: checkInteger(retries, "retries", 0, 100),
    retryDelayMs: checkInteger(retryDelayMs, "retryDelayMs", 0, 60_000),
  };
}
