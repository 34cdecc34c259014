// A record as the addon takes it.
import type { NativeRecord } from "../native/addon.js";
import { type GraphRecord, type ParameterId, parametersOf, type ValueId } from "./ops.js";

/** @param shared the index of each of the record's parameters in a store that has others too, or undefined */
export function nativeRecordOf(
  { values, rows, inputs, outputs }: GraphRecord,
  shared: readonly ParameterId[] | undefined,
): NativeRecord {
  const renumbered = (row: GraphRecord["rows"][number]) => {
    const ids = Object.entries(parametersOf(row)).map(([field, id]) => [field, shared![id]!]);
    return { ...row, ...Object.fromEntries(ids) };
  };
  return {
    values,
    rows: shared === undefined ? rows : rows.map(renumbered),
    inputs: Object.values<ValueId>(inputs),
    outputs: Object.values<ValueId>(outputs),
  };
}
