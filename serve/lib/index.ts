// The public names of the package, and nothing else.
export { ServeError } from "./errors.js";
export { type AppOptions, createApp, createHandler, type Mounted } from "./mount.js";
export { type Server, serve } from "./server.js";
export { readConfig } from "./settings/config.js";
export type {
  AccessOptions,
  BatchingOptions,
  LimitOptions,
  ListenOptions,
  LoggerLike,
  LogOptions,
  ModelOptions,
  ServeOptions,
} from "./settings/options.js";
export { type FoundModel, validateOptions } from "./settings/validate.js";
