// Checks options and the files that they name, without loading a model.
import { readLabels } from "vgg-cudnn";
import { findVersions } from "../engine/versions.js";
import { checkOptions } from "./check.js";
import type { ServeOptions } from "./options.js";
import { readTls } from "./tls.js";

/** A model that can be found. */
export interface FoundModel {
  readonly name: string;
  readonly versions: readonly string[];
}

/**
 * Checks everything about options that can be checked without loading a model: each option, and whether the files that
 * they name are there.
 * @throws {TypeError} the first problem, in one sentence
 * @example console.log(await validateOptions(await readConfig("serve.json")));
 */
export async function validateOptions(options: ServeOptions): Promise<readonly FoundModel[]> {
  const settings = checkOptions(options);
  for (const name of ["http", "grpc", "metrics"] as const) await readTls(settings[name]?.tls, name);
  const found: FoundModel[] = [];
  for (const [name, model] of settings.models) {
    const problem = (error: unknown) => {
      const { message } = error as Error;
      throw new TypeError(
        message.startsWith("Expected") ? message : `Expected files for models.${name}: ${message}`,
        { cause: error },
      );
    };
    const versions = await findVersions(model).catch(problem);
    if (typeof model.labels === "string") await readLabels(model.labels).catch(problem);
    found.push({ name, versions: versions.map(({ version }) => version) });
  }
  return found;
}
