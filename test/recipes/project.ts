// A project as a user has it, in .cache/recipes: the tools that fetch.mjs installs, this package in node_modules, and the examples.
import { spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const project = join(root, ".cache/recipes");
export const modules = join(project, "node_modules");

/** Whether `npm run recipes:fetch` has installed the present versions. */
export const isFetched =
  existsSync(join(modules, ".package-lock.json")) &&
  readFileSync(join(project, "package-lock.json"), "utf8") ===
    readFileSync(join(root, "test/recipes/package-lock.json"), "utf8");

/** Installs the package as it is built now in a folder of modules. Its dependencies are found in the node_modules of the root. */
export function installPackage(folder = modules): void {
  const target = join(folder, "vgg-cudnn");
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  for (const path of ["package.json", "dist", "build/Release/vgg_cudnn.node"])
    cpSync(join(root, path), join(target, path), { recursive: true });
}

/** Copies the examples and the images that they read into the project. */
export function copyExamples(): void {
  for (const path of ["examples", "test/golden/images"]) {
    rmSync(join(project, path), { recursive: true, force: true });
    cpSync(join(root, path), join(project, path), { recursive: true });
  }
}

/** A command that a package of the project brings. Bun's own needs an install script, so its binary is run. */
export function tool(name: "bun" | "deno" | "esbuild" | "jest" | "next"): string {
  if (name !== "bun") return join(modules, ".bin", name);
  const [platform] = readdirSync(join(modules, "@oven"));
  return join(modules, "@oven", platform!, "bin/bun");
}

/** Node 22, which has node:sqlite. Undefined on a platform for which the project has none. */
export function node22(): string | undefined {
  const path = join(modules, `node-${process.platform}-${process.arch}/bin/node`);
  return existsSync(path) ? path : undefined;
}

/** What programs of the project have in their environment: the package finds its addon by itself. */
function environment(changes: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { VGG_ADDON: _, ...inherited } = process.env;
  return { ...inherited, NO_COLOR: "1", NEXT_TELEMETRY_DISABLED: "1", ...changes };
}

/** Runs a command in the project to its end. */
export function run(
  command: string,
  args: readonly string[],
  cwd = project,
  changes: NodeJS.ProcessEnv = {},
) {
  const env = environment(changes);
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, env, encoding: "utf8" });
  return { status, stdout, stderr };
}

/**
 * Starts a server and calls `use` with the address that it prints. Then ends the server by SIGTERM.
 * @returns the server's exit code or signal, and all that it printed
 */
export async function serve(
  command: string,
  args: readonly string[],
  use: (address: string) => Promise<void>,
  cwd = project,
  changes: NodeJS.ProcessEnv = {},
): Promise<{ end: number | string | null; output: string }> {
  const env = environment({ PORT: "0", ...changes });
  const server = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const ended = new Promise<number | string | null>((resolve) => {
    server.once("close", (code, signal) => resolve(code ?? signal));
  });
  try {
    const address = await new Promise<string>((resolve, reject) => {
      const hear = (text: Buffer) => {
        output += text;
        const found = /http:\/\/(?:127\.0\.0\.1|localhost):\d+/.exec(output)?.[0];
        if (found) resolve(found);
      };
      server.stdout.on("data", hear);
      server.stderr.on("data", hear);
      void ended.then(() => reject(new Error(`the server ended: ${output}`)));
    });
    await use(address);
  } finally {
    server.kill("SIGTERM");
  }
  return { end: await ended, output };
}
