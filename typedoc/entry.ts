// What the reference has a page for: the public names, and below `unnamed` the types that appear in their signatures.
export * from "../lib/index.ts";
export * as unnamed from "./unnamed.ts";
