// What the checks on a GPU share: how far each precision may be from the truth, and small or full settings.
import { renameSync, writeFileSync } from "node:fs";
import { openForcedGpu } from "../dist/device/device.js";

/** Most difference between two answers, relative to the greatest number of the right one. */
export const bars = { float32: 1e-5, tf32: 2e-3, float16: 5e-3, bfloat16: 3e-2 };

/** VGG_ACCEPT_QUICK=1: small images and few batches, for a machine where a CPU plays the GPU. */
export const isQuick = process.env.VGG_ACCEPT_QUICK === "1";

// The last line of a step's output is its line in the summary: the reason, not where it was thrown.
process.on("uncaughtException", (error) => {
  console.error(error);
  console.log(String(error).split("\n", 1)[0]);
  process.exit(1);
});

/** The first GPU, with forced kernels, and which of the precisions with a bar it has. */
export async function openGpu(forced = {}) {
  const device = await openForcedGpu(forced);
  const precisions = Object.keys(bars).filter((name) => device.info.precisions.includes(name));
  return { device, precisions };
}

/** max |a - b| / max |b|; NaN where either is not finite. */
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

/** Whole or not at all: the step may be stopped at any time. */
export function writeJson(path, value) {
  writeFileSync(`${path}.part`, `${JSON.stringify(value)}\n`);
  renameSync(`${path}.part`, path);
}

/** Lines of columns, padded to the widest. */
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
