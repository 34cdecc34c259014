// Checks options and what they name, without serving: certificates, interfaces, weights and labels.
import { once } from "node:events";
import { createServer } from "node:net";
import { type Device, openDevice } from "vgg-cudnn";
import { loadModel } from "../engine/load-model.js";
import { findVersions, type VersionFile } from "../engine/versions.js";
import { checkOptions, checkProtocols, type Listener, type Settings } from "./check.js";
import { isPublished } from "./config.js";
import type { ModelOptions, ServeOptions } from "./options.js";
import { readTls } from "./tls.js";

/** A model that can be served. */
export interface FoundModel {
  readonly name: string;
  readonly versions: readonly string[];
}

/**
 * Checks options and all that they name: each option, certificates, interfaces, and the weights and labels of each
 * model. The weights are loaded, one version after the other, onto the CPU. Published weights are not downloaded, and
 * devices are not opened: the server may run on another machine.
 * @throws {TypeError} the first problem, in one sentence
 * @example console.log(await validateOptions(await readConfig("serve.json")));
 */
export async function validateOptions(options: ServeOptions): Promise<readonly FoundModel[]> {
  const settings = checkOptions(options);
  checkProtocols(settings);
  for (const name of ["http", "grpc", "metrics"] as const) {
    await readTls(settings[name]?.tls, name);
    await checkHost(settings[name], name);
  }
  const device = await openDevice("cpu");
  try {
    const found: FoundModel[] = [];
    for (const [name, model] of settings.models) {
      const versions = await checkModel(name, model, settings, device).catch((error: Error) => {
        const { message } = error;
        const isSentence = message.startsWith("Expected");
        throw new TypeError(
          isSentence ? message : `Expected a model for models.${name}: ${message}`,
          {
            cause: error,
          },
        );
      });
      found.push({ name, versions: versions.map(({ version }) => version) });
    }
    return found;
  } finally {
    device.dispose();
  }
}

/** Loads each version. @throws what the files say */
async function checkModel(
  name: string,
  options: ModelOptions,
  { limits: { maxPixels } }: Settings,
  device: Device,
): Promise<readonly VersionFile[]> {
  const versions = await findVersions(options);
  // A GPU may have a precision that no CPU has.
  const { precision: _, ...others } = options;
  for (const { weights } of versions) {
    if (isPublished(weights)) continue;
    const model = await loadModel({ name, weights, options: others, maxPixels }, device);
    await model.dispose();
  }
  return versions;
}

/** Listens at any free port, because the configured one may be in use by the server that is to be replaced. */
async function checkHost(listener: Listener | null, name: string): Promise<void> {
  if (listener === null) return;
  const server = createServer().listen({ host: listener.host, port: 0 });
  try {
    await once(server, "listening");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new TypeError(
      `Expected an interface of this machine for ${name}.host but listening at ${listener.host} gives ${code}`,
      { cause },
    );
  }
  server.close();
}
