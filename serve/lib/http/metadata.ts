// What the server and its models say about themselves: metadata, configuration and statistics.
import { extensions } from "../protocol/extensions.js";
import type { Handler } from "./context.js";
import { jsonAnswer } from "./reply.js";

/** Answers `GET /v2`. */
export const serverMetadata: Handler = (_call, { server }) => jsonAnswer({ ...server, extensions });

/** Answers `GET /v2/models`: each name once. */
export const models: Handler = (_call, { engine: { registry } }) =>
  jsonAnswer({ models: [...new Set(registry.models().map(({ name }) => name))] });

/** Answers `GET /v2/models/M[/versions/V]`. */
export const modelMetadata: Handler = (call, { engine: { registry } }) =>
  jsonAnswer(registry.metadata(call.req.param("model")!, call.req.param("version")));

/** Answers `GET /v2/models/M[/versions/V]/config`. */
export const modelConfig: Handler = (call, { engine: { registry } }) =>
  jsonAnswer(registry.config(call.req.param("model")!, call.req.param("version")));

/** Answers `GET /v2/models/stats`, `GET /v2/models/M/stats` and `GET /v2/models/M/versions/V/stats`. */
export const statistics: Handler = (call, { engine }) => {
  const stats = engine.statistics.statsOf(call.req.param("model"), call.req.param("version"));
  const whole = stats.map((version) => ({ response_stats: {}, memory_usage: [], ...version }));
  return jsonAnswer({ model_stats: whole });
};
