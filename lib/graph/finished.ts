// The records whose shapes a builder has checked. Native code relies on these checks.
import { typeError } from "../check.js";
import type { GraphRecord } from "./ops.js";

const finished = new WeakSet<GraphRecord>();

function freeze<T extends object>(tree: T): T {
  for (const item of Object.values(tree))
    if (typeof item === "object" && item !== null) freeze(item);
  return Object.freeze(tree);
}

/** Freezes a record and remembers it as a builder's. */
export function finish<Finished extends GraphRecord>(record: Finished): Finished {
  finished.add(record);
  return freeze(record);
}

/** @throws {TypeError} not a record that `GraphBuilder.finish` returned */
export function checkRecord(record: GraphRecord): void {
  if (typeof record !== "object" || record === null || !finished.has(record)) {
    throw typeError("a record of GraphBuilder.finish", "record", record);
  }
}
