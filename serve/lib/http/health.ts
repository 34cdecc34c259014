// What probes ask: whether the server lives, whether it is ready, and whether a model is.
import type { Handler } from "./context.js";
import { jsonAnswer } from "./reply.js";

/** Answers `GET /v2/health/live`: 200, or 503 if no device works. */
export const live: Handler = (_call, { engine: { health } }) => {
  const isLive = health.live();
  return jsonAnswer({ live: isLive, ready: health.ready().ready }, isLive ? 200 : 503);
};

/** Answers `GET /v2/health/ready`: 200, or 503 with the reason. */
export const ready: Handler = (_call, { engine: { health } }) => {
  const { ready: isReady, reason } = health.ready();
  return jsonAnswer({ live: health.live(), ready: isReady, reason }, isReady ? 200 : 503);
};

/** Answers `GET /v2/models/M[/versions/V]/ready`: 200 or 503. */
export const modelReady: Handler = (call, { engine: { health } }) => {
  const name = call.req.param("model")!;
  const isReady = health.modelReady(name, call.req.param("version"));
  return jsonAnswer({ name, ready: isReady }, isReady ? 200 : 503);
};
