// Loads vgg-cudnn-serve, the server's package, which is installed beside this one.
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { version } from "../../version.js";

/** The options of a server, in the form that a configuration file has. The package checks them. */
export interface ServeOptions {
  models: Record<string, object>;
  http?: unknown;
  grpc?: unknown;
  metrics?: unknown;
  page?: boolean;
  access?: object;
  log?: object;
  drainMs?: number;
  shutdownMs?: number;
}

/** Where a protocol is served. */
interface Address {
  readonly address: string;
  readonly port: number;
}

/** A server that serves. */
export interface Server {
  readonly addresses: {
    readonly http?: Address;
    readonly grpc?: Address;
    readonly metrics?: Address;
  };
  readonly deviceLost: Promise<string>;
  reload(): Promise<void>;
  close(): Promise<void>;
}

/** What the command uses of the package. */
export interface ServerPackage {
  readConfig(path: string): Promise<ServeOptions>;
  validateOptions(
    options: ServeOptions,
  ): Promise<readonly { readonly name: string; readonly versions: readonly string[] }[]>;
  serve(options: ServeOptions): Promise<Server>;
}

/** A variable, because the package need not be there when this one is compiled. */
const name: string = "vgg-cudnn-serve";

/** A queue's worker that works. */
export interface QueueWorker {
  readonly failed: Promise<Error>;
  close(): Promise<void>;
}

/** What `vgg worker` uses of the package. The package checks the options. */
export interface WorkerPackage {
  startWorker(options: object): Promise<QueueWorker>;
}

/** What installs the package. */
export const installation = `npm install ${name}@${version}`;

/**
 * Finds the package beside this one or, as pnpm needs it, from the present folder.
 * @returns undefined if it is not installed
 */
export function loadPackage(): Promise<ServerPackage | undefined> {
  return load(name);
}

/** Finds the worker of the same package, as `loadPackage` does. */
export function loadWorker(): Promise<WorkerPackage | undefined> {
  return load(`${name}/worker`);
}

async function load<Package>(entry: string): Promise<Package | undefined> {
  const here = createRequire(join(process.cwd(), "package.json"));
  for (const find of [() => entry, () => pathToFileURL(here.resolve(entry)).href])
    try {
      return (await import(find())) as Package;
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
  return undefined;
}

/** Whether the package itself is absent. Without one of its dependencies it is broken, which is another error. */
function isAbsent(error: unknown): boolean {
  if (!(error instanceof Error) || !("code" in error)) return false;
  const codes = ["ERR_MODULE_NOT_FOUND", "MODULE_NOT_FOUND", "ERR_PACKAGE_PATH_NOT_EXPORTED"];
  const entries = [name, `${name}/worker`].map((entry) => `'${entry}'`);
  return (
    codes.includes(String(error.code)) && entries.some((entry) => error.message.includes(entry))
  );
}
