// Every route of REST: its method, its path, the group of the API that it belongs to, and what answers.
import type { ApiGroup } from "../access/tokens.js";
import { classify } from "./classify.js";
import type { Handler } from "./context.js";
import { embed } from "./embed.js";
import { live, modelReady, ready } from "./health.js";
import { infer } from "./infer.js";
import { layerNames, layers } from "./layers.js";
import { modelConfig, modelMetadata, models, serverMetadata, statistics } from "./metadata.js";
import { index, load, unload } from "./repository.js";

/** A route. `operation` names what it does in the OpenAPI document; the paths of one operation do the same. */
export interface Route {
  readonly method: "GET" | "POST";
  /** As hono writes it: `:model` is any name, `:version{[0-9]+}` a number. */
  readonly path: string;
  readonly group: ApiGroup;
  readonly operation: string;
  readonly handle: Handler;
}

const version = "/versions/:version{[0-9]+}";

/** Makes a route for a model, and the same for one of its versions. */
function forModel(route: Route): readonly Route[] {
  const path = route.path.replace("/:model", `/:model${version}`);
  return [route, { ...route, path }];
}

/** Makes a route of the repository, and the same under a repository's name, which means nothing here. */
function forRepository(route: Route): readonly Route[] {
  return [route, { ...route, path: route.path.replace("/repository", "/repository/:repository") }];
}

/** The routes, in the order in which paths are compared. Reading the repository's index is a matter of metadata. */
export const routes: readonly Route[] = [
  { method: "GET", path: "/v2/health/live", group: "health", operation: "live", handle: live },
  { method: "GET", path: "/v2/health/ready", group: "health", operation: "ready", handle: ready },
  { method: "GET", path: "/v2", group: "metadata", operation: "server", handle: serverMetadata },
  { method: "GET", path: "/v2/models", group: "metadata", operation: "models", handle: models },
  {
    method: "GET",
    path: "/v2/models/stats",
    group: "statistics",
    operation: "allStatistics",
    handle: statistics,
  },
  ...forModel({
    method: "GET",
    path: "/v2/models/:model",
    group: "metadata",
    operation: "model",
    handle: modelMetadata,
  }),
  ...forModel({
    method: "GET",
    path: "/v2/models/:model/ready",
    group: "health",
    operation: "modelReady",
    handle: modelReady,
  }),
  ...forModel({
    method: "GET",
    path: "/v2/models/:model/config",
    group: "model-config",
    operation: "modelConfig",
    handle: modelConfig,
  }),
  ...forModel({
    method: "GET",
    path: "/v2/models/:model/stats",
    group: "statistics",
    operation: "modelStatistics",
    handle: statistics,
  }),
  ...forModel({
    method: "POST",
    path: "/v2/models/:model/infer",
    group: "inference",
    operation: "infer",
    handle: infer,
  }),
  ...forRepository({
    method: "POST",
    path: "/v2/repository/index",
    group: "metadata",
    operation: "repositoryIndex",
    handle: index,
  }),
  ...forRepository({
    method: "POST",
    path: "/v2/repository/models/:model/load",
    group: "model-repository",
    operation: "repositoryLoad",
    handle: load,
  }),
  ...forRepository({
    method: "POST",
    path: "/v2/repository/models/:model/unload",
    group: "model-repository",
    operation: "repositoryUnload",
    handle: unload,
  }),
  {
    method: "POST",
    path: "/classify",
    group: "inference",
    operation: "classify",
    handle: classify,
  },
  { method: "POST", path: "/embed", group: "inference", operation: "embed", handle: embed },
  { method: "POST", path: "/layers", group: "inference", operation: "layers", handle: layers },
  {
    method: "GET",
    path: "/layers",
    group: "metadata",
    operation: "layerNames",
    handle: layerNames,
  },
];
