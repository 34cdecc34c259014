// The repository of models: its index, and loading and unloading. A client names models of the configuration, and sends none.
import { ServeError } from "../errors.js";
import { readBody } from "./body/body.js";
import type { Call, Handler } from "./context.js";
import { flagField, type JsonObject, objectField, objectOf, parseJson } from "./json.js";
import { jsonAnswer } from "./reply.js";

/** Bytes of a body that is a few words. */
const controlLimit = { bytes: 2 ** 16, advice: " of JSON" };

/** Answers `POST /v2/repository/index`: every version, or with {"ready": true} those that are ready. */
export const index: Handler = async (call, { engine: { registry } }) => {
  const onlyReady = flagField(await readControl(call), "ready", "ready") ?? false;
  const entries = registry.models().filter(({ state }) => !onlyReady || state === "READY");
  return jsonAnswer(entries);
};

/** Answers `POST /v2/repository/models/M/load` when the model is warm and serves. */
export const load: Handler = async (call, { engine: { registry } }) => {
  const parameters = objectField(await readControl(call), "parameters", "parameters");
  const overrides = Object.keys(parameters).filter(
    (name) => name === "config" || name.startsWith("file:"),
  );
  if (overrides.length > 0)
    throw new ServeError(
      "INVALID",
      "Expected no config or files in a request to load: models are loaded as the server is configured",
    );
  const name = call.req.param("model")!;
  await registry.load(name);
  return jsonAnswer({ name, load: true });
};

/** Answers `POST /v2/repository/models/M/unload` when the model's memory is given back. */
export const unload: Handler = async (call, { engine: { registry } }) => {
  await readControl(call);
  const name = call.req.param("model")!;
  await registry.unload(name);
  return jsonAnswer({ name, unload: true });
};

/** Reads a body that may be empty. */
async function readControl(call: Call): Promise<JsonObject> {
  const body = await readBody(call, controlLimit);
  return body.length === 0 ? {} : objectOf(parseJson(body, "the body"), "the body");
}
