// The clients as programs: which are there, and how they are run.
import { execFile, spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { folder, isThere } from "./tools.mjs";

type Part = Parameters<typeof isThere>[0];

const isRequired = process.env.VGG_REQUIRE_TOOLS === "1";

/** Whether the tests of some clients can run. Otherwise it prints why not, or fails if the tools are required. */
export function has(...parts: Part[]): boolean {
  const absent = parts.filter((part) => !isThere(part));
  if (absent.length === 0) return true;
  const text = `clients: ${absent.join(", ")} is not in .cache/clients: npm run clients:fetch`;
  if (isRequired) throw new Error(text);
  console.log(`${text}; its tests are skipped`);
  return false;
}

/** Whether curl is installed. */
export function hasCurl(): boolean {
  if (spawnSync("curl", ["--version"]).status === 0) return true;
  if (isRequired) throw new Error("clients: curl is not installed");
  console.log("clients: curl is not installed; its tests are skipped");
  return false;
}

const script = (name: string) => fileURLToPath(new URL(`python/${name}.py`, import.meta.url));

// biome-ignore lint/suspicious/noExplicitAny: each call prints other objects
export type Line = any;

/** Makes one call of a script. @returns its lines of JSON */
export async function python(name: string, call: string, given: object): Promise<Line[]> {
  const args = [script(name), call, JSON.stringify(given)];
  const stdout = await run(`${folder}venv/bin/python`, ...args);
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

/** Starts a call of a script whose first line says that it works. @returns the lines after that, when it has ended */
export async function pythonUnderWay(name: string, call: string, given: object) {
  const child = spawn(`${folder}venv/bin/python`, [script(name), call, JSON.stringify(given)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  await lines.next();
  const rest = async () => {
    const read: Line[] = [];
    for await (const line of { [Symbol.asyncIterator]: () => lines }) read.push(JSON.parse(line));
    return read;
  };
  return { rest };
}

/** Runs a program to its end. @returns its standard output @throws what it wrote on standard error, if it fails */
export async function run(command: string, ...args: string[]): Promise<string> {
  return runIn(".", {}, command, ...args);
}

/** Runs a program in a folder. `env` is added to the environment. */
export async function runIn(
  cwd: string,
  env: NodeJS.ProcessEnv,
  command: string,
  ...args: string[]
): Promise<string> {
  const options = { cwd, env: { ...process.env, ...env }, maxBuffer: 2 ** 28 };
  const { stdout } = await promisify(execFile)(command, args, options);
  return stdout;
}

/** The path of a program of the cache. */
export const program = (name: Exclude<Part, "python">) => `${folder}bin/${name}`;
