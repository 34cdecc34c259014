// The public names of the package, and nothing else.
export type { Datatype } from "./protocol/types.js";
