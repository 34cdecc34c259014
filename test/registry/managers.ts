// The package managers of the table: how each is called, and how each is told what a case needs.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(
  new URL("../../.cache/package-managers/node_modules", import.meta.url),
);
const cpu = process.arch === "arm64" ? "arm64" : "x64";

/** npm's names of a platform, as in npm/platforms.json. */
export interface Target {
  readonly os: string;
  readonly cpu: string;
  readonly libc?: string;
}

/** What a case asks of an installation. */
export interface Wish {
  /** Whether the install script runs. By default the manager decides. */
  readonly scripts?: "allowed" | "ignored";
  readonly omitOptional?: boolean;
  /** Versions that replace the ones that packages ask for. */
  readonly overrides?: Readonly<Record<string, string>>;
  /** The platform to install for, by default this one. */
  readonly target?: Target;
}

export interface Manager {
  readonly name: string;
  /** The program and its first arguments. */
  readonly command: readonly string[];
  /** The path of the Node that it needs; undefined for this one. */
  readonly node?: string;
  readonly lock: string;
  /** Writes its settings. @returns the contents of files by name, without package.json */
  files(url: string, wish: Wish): Record<string, string>;
  /** Fields of package.json. */
  manifest(wish: Wish): object;
  /** Arguments that install a package in an empty project. */
  add(name: string, wish: Wish): string[];
  /** Arguments that install what the lock file says. */
  frozen(wish: Wish): string[];
  /** Arguments that run the package's command. */
  readonly run: readonly string[];
  /** Commands besides Node and sh that its command needs in PATH. */
  readonly runNeeds?: readonly string[];
  /** What it has no way of doing. */
  readonly lacks: readonly (keyof Wish)[];
  /** Whether packages stay in archives. */
  readonly isPlugged?: boolean;
}

const npmrc = (url: string) => ({
  ".npmrc": `registry=${url}\naudit=false\nfund=false\nupdate-notifier=false\n`,
});
const yaml = (value: object) => `${JSON.stringify(value)}\n`;
const flags = ({ os, cpu, libc }: Target) => [
  ...[`--os=${os}`, `--cpu=${cpu}`],
  ...(libc === undefined ? [] : [`--libc=${libc}`]),
];

function npm(major: number, node?: string): Manager {
  return {
    name: `npm ${major}`,
    command: [node ?? process.execPath, `${folder}/npm-${major}/bin/npm-cli.js`],
    ...(node && { node }),
    lock: "package-lock.json",
    files: npmrc,
    manifest: ({ scripts, overrides }) => ({
      overrides,
      ...(scripts === "allowed" && { allowScripts: { "vgg-cudnn": true } }),
    }),
    add: (name, { scripts, omitOptional, target }) => [
      ...["install", name],
      ...(scripts === "ignored" ? ["--ignore-scripts"] : []),
      ...(omitOptional ? ["--omit=optional"] : []),
      ...(target ? flags(target) : []),
    ],
    frozen: ({ scripts }) => ["ci", ...(scripts === "ignored" ? ["--ignore-scripts"] : [])],
    run: ["exec", "--", "vgg-cudnn"],
    lacks: [],
  };
}

function pnpm(major: number, command: readonly string[]): Manager {
  return {
    name: `pnpm ${major}`,
    command,
    lock: "pnpm-lock.yaml",
    files: (url, { scripts, overrides }) => ({
      ...npmrc(url),
      // YAML includes JSON.
      "pnpm-workspace.yaml": yaml({
        ...(scripts && { allowBuilds: { "vgg-cudnn": scripts === "allowed" } }),
        overrides,
      }),
    }),
    manifest: () => ({}),
    add: (name, { omitOptional, target }) => [
      ...["add", name],
      ...(omitOptional ? ["--no-optional"] : []),
      ...(target ? flags(target) : []),
    ],
    frozen: () => ["install", "--frozen-lockfile"],
    run: ["exec", "vgg-cudnn"],
    // Its command is a script of the shell.
    runNeeds: ["sed", "dirname", "uname"],
    lacks: [],
  };
}

const yarn1: Manager = {
  name: "yarn 1",
  command: [process.execPath, `${folder}/yarn-1/bin/yarn.js`],
  lock: "yarn.lock",
  files: npmrc,
  manifest: ({ overrides }) => ({ resolutions: overrides }),
  add: (name, { scripts, omitOptional }) => [
    ...["add", name],
    ...(scripts === "ignored" ? ["--ignore-scripts"] : []),
    ...(omitOptional ? ["--ignore-optional"] : []),
  ],
  frozen: ({ scripts }) => [
    ...["install", "--frozen-lockfile"],
    ...(scripts === "ignored" ? ["--ignore-scripts"] : []),
  ],
  run: ["--silent", "vgg-cudnn"],
  lacks: ["target"],
};

function yarn4(linker: "node-modules" | "pnp"): Manager {
  return {
    name: `yarn 4 ${linker === "pnp" ? "PnP" : linker}`,
    command: [process.execPath, `${folder}/yarn-4/bin/yarn.js`],
    lock: "yarn.lock",
    files: (url, { scripts, target }) => ({
      "yarn.lock": "",
      ".yarnrc.yml": yaml({
        npmRegistryServer: url,
        unsafeHttpWhitelist: ["127.0.0.1"],
        enableTelemetry: false,
        enableGlobalCache: linker !== "pnp",
        nodeLinker: linker,
        ...(scripts && { enableScripts: scripts === "allowed" }),
        ...(target && {
          supportedArchitectures: Object.fromEntries(
            Object.entries(target).map(([name, value]) => [name, [value]]),
          ),
        }),
      }),
    }),
    manifest: ({ overrides }) => ({ resolutions: overrides }),
    add: (name) => ["add", name],
    frozen: () => ["install", "--immutable"],
    run: ["vgg-cudnn"],
    lacks: ["omitOptional"],
    isPlugged: linker === "pnp",
  };
}

/** The package managers, in the order of the table. */
export const managers: readonly Manager[] = [
  npm(11),
  npm(12, `${folder}/node-linux-${cpu}/bin/node`),
  pnpm(10, [process.execPath, `${folder}/pnpm-10/bin/pnpm.cjs`]),
  pnpm(12, [`${folder}/@pnpm/exe.linux-${cpu}/pnpm`]),
  yarn1,
  yarn4("node-modules"),
  yarn4("pnp"),
];

/** Whether `npm run test:registry` has installed them. Their programs are for Linux. */
export function isFetched(): boolean {
  try {
    readFileSync(`${folder}/yarn-4/package.json`);
    return process.platform === "linux";
  } catch {
    return false;
  }
}
