// Shared by the checks on a GPU: how far each precision may be from the truth, and how results are written.
import { renameSync, writeFileSync } from "node:fs";
import { openForcedGpu } from "../dist/device/device.js";

/** The largest allowed difference of two answers, relative to the largest number of the correct one. */
export const bars = { float32: 1e-5, tf32: 2e-3, float16: 5e-3, bfloat16: 3e-2 };

// The last line of a step's output is its line in the summary. Make it the reason, not a stack frame.
process.on("uncaughtException", (error) => {
  console.error(error);
  console.log(String(error).split("\n", 1)[0]);
  process.exit(1);
});

/** Opens the first GPU with forced kernels. Returns it with its precisions that have a bar. */
export async function openGpu(forced = {}) {
  const device = await openForcedGpu(forced);
  const precisions = Object.keys(bars).filter((name) => device.info.precisions.includes(name));
  return { device, precisions };
}

/** max |a - b| / max |b|. NaN if either has a number that is not finite. */
export function difference(a, b) {
  if (a.length !== b.length)
    throw new Error(`Expected ${b.length} numbers but received ${a.length}`);
  let most = 0;
  let scale = 0;
  for (let i = 0; i < b.length; i++) {
    if (!Number.isFinite(a[i]) || !Number.isFinite(b[i])) return Number.NaN;
    most = Math.max(most, Math.abs(a[i] - b[i]));
    scale = Math.max(scale, Math.abs(b[i]));
  }
  return scale === 0 ? Number.NaN : most / scale;
}

export const bytesOf = ({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** Writes the file whole or not at all, because the step may be stopped at any time. */
export function writeJson(path, value) {
  writeFileSync(`${path}.part`, `${JSON.stringify(value)}\n`);
  renameSync(`${path}.part`, path);
}

/** Formats rows as columns, padded to the widest cell. */
export function table(rows) {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => String(row[i]).length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => String(cell).padEnd(widths[i]))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
