// Reads what pip is configured to use, in pip's order: its files, then the environment's variables.
// https://pip.pypa.io/en/stable/topics/configuration/
import { stat } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileError, isMissing } from "../files/errors.js";
import { expandHome, machineOf } from "../files/home.js";
import { readWhole } from "../files/read-whole.js";
import { parseIni } from "./ini.js";
import type { Environment } from "./types.js";

/** A setting, and the file or variable that it is from. */
export interface Setting {
  readonly value: string;
  readonly from: string;
}

/** pip's settings by name, such as `index-url`. */
export type PipSettings = ReadonlyMap<string, Setting>;

const used = [
  ...["index-url", "extra-index-url", "no-index", "cert", "proxy"],
  ...["timeout", "default-timeout"],
];
type System = NodeJS.Platform;

const fileNameOn = (system: System) => (system === "win32" ? "pip.ini" : "pip.conf");

const isFolder = (path: string) =>
  stat(path).then(
    (status) => status.isDirectory(),
    () => false,
  );

/** The files of the machine. */
function systemFiles(environment: Environment, system: System): string[] {
  const fileName = fileNameOn(system);
  if (system === "win32") {
    const { ProgramData = environment.PROGRAMDATA } = environment;
    return ProgramData ? [join(ProgramData, "pip", fileName)] : [];
  }
  if (system === "darwin") return [join("/Library/Application Support/pip", fileName)];
  const folders = (environment.XDG_CONFIG_DIRS || "/etc/xdg").split(delimiter).filter(Boolean);
  return [...folders.map((folder) => join(folder, "pip", fileName)), join("/etc", fileName)];
}

/** The files of the user: the old place, then the new one. */
async function userFiles(environment: Environment, system: System): Promise<string[]> {
  const fileName = fileNameOn(system);
  const { home } = machineOf(environment, system);
  if (system === "win32") {
    const { APPDATA } = environment;
    return [
      ...(home ? [join(home, "pip", fileName)] : []),
      ...(APPDATA ? [join(APPDATA, "pip", fileName)] : []),
    ];
  }
  const config = environment.XDG_CONFIG_HOME || (home && join(home, ".config"));
  const old = home ? [join(home, ".pip", fileName)] : [];
  if (system === "darwin" && home) {
    const library = join(home, "Library", "Application Support", "pip");
    const folder = (await isFolder(library)) ? library : join(home, ".config", "pip");
    return [...old, join(folder, fileName)];
  }
  return [...old, ...(config ? [join(config, "pip", fileName)] : [])];
}

/** The file of the virtual environment that is active. */
function environmentFiles({ VIRTUAL_ENV, CONDA_PREFIX }: Environment, system: System): string[] {
  const folder = VIRTUAL_ENV || CONDA_PREFIX;
  return folder ? [join(folder, fileNameOn(system))] : [];
}

/** All files that pip reads, in its order: a later one overrides an earlier one. */
async function filesOf(environment: Environment, system: System): Promise<string[]> {
  const chosen = environment.PIP_CONFIG_FILE || undefined;
  // The system's null device is pip's way to read no file.
  if (chosen !== undefined && /^(\/dev\/null|nul)$/i.test(chosen)) return [];
  const isThere = chosen !== undefined && (await stat(chosen).catch(() => undefined)) !== undefined;
  return [
    ...systemFiles(environment, system),
    ...(isThere ? [] : await userFiles(environment, system)),
    ...environmentFiles(environment, system),
    ...(isThere ? [chosen] : []),
  ];
}

/** Reads a file of settings; undefined if there is none. @throws {VggError} FOLDER_UNUSABLE */
async function readSettings(path: string) {
  try {
    return parseIni(await readWhole(path));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw fileError(error, path);
  }
}

/**
 * Reads pip's settings that concern the network. The section [install] of any file overrides [global] of all files. A
 * variable such as PIP_INDEX_URL overrides both. An empty variable counts as not set.
 * @throws {VggError} FOLDER_UNUSABLE: a file exists and cannot be read
 */
export async function readPipSettings(
  environment: Environment,
  system: System = process.platform,
): Promise<PipSettings> {
  const bySection = { global: new Map<string, Setting>(), install: new Map<string, Setting>() };
  for (const path of await filesOf(environment, system)) {
    const sections = await readSettings(path);
    for (const [name, settings] of Object.entries(bySection)) {
      for (const [key, value] of sections?.get(name) ?? [])
        settings.set(key, { value, from: path });
    }
  }
  const all = new Map([...bySection.global, ...bySection.install]);
  for (const [key, { value }] of all) if (value === "") all.delete(key);
  for (const key of used) {
    const name = `PIP_${key.toUpperCase().replaceAll("-", "_")}`;
    const value = environment[name]?.trim();
    if (value) all.set(key, { value, from: name });
  }
  return all;
}

/** Whether a setting says yes, as pip reads it. Undefined if it says neither yes nor no. */
export function isOn({ value }: Setting): boolean | undefined {
  if (/^(1|true|yes|on|y|t)$/i.test(value)) return true;
  return /^(0|false|no|off|n|f)$/i.test(value) ? false : undefined;
}

/** A path in a setting, with ~ expanded. */
export function pathOf(setting: Setting, environment: Environment): string {
  return expandHome(setting.value, machineOf(environment));
}
