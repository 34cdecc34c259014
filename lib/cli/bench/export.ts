// Writes a benchmark's report as files: JSON, CSV, and each figure as SVG and PNG.
import { access, constants } from "node:fs/promises";
import { join } from "node:path";
import { csvLine } from "../../csv.js";
import { withFile } from "../../files/errors.js";
import { makeFolder } from "../../files/make-folder.js";
import { checkPath, replaceFile } from "../../files/replace.js";
import { importSharp } from "../drawing/png.js";
import { figures } from "./figures.js";
import type { BenchReport } from "./report.js";

/** Makes the folder if it does not exist. @throws {VggError} FOLDER_UNUSABLE */
export async function prepareFolder(folder: string): Promise<void> {
  checkPath(folder, "--export");
  await withFile(folder, async () => {
    await makeFolder(folder);
    await access(folder, constants.W_OK | constants.X_OK);
  });
}

function batchesCsv({ batches }: BenchReport): string {
  const heads = ["batch", "iterations", "min_ms", "p50_ms", "p95_ms", "p99_ms"];
  const more = ["images_per_s", "images_per_s_in_flight", "tflop_per_s", "floor_ms"];
  const last = [
    "roofline_share",
    "overhead_us",
    "javascript_us",
    "parameter_bytes",
    "activation_bytes",
  ];
  return [
    csvLine([...heads, ...more, ...last]),
    ...batches.map(({ latencyMs: { min, p50, p95, p99 }, memory, ...batch }) =>
      csvLine([
        ...[batch.batch, batch.iterations, min, p50, p95, p99],
        ...[batch.imagesPerSecond, batch.imagesPerSecondInFlight, batch.teraflopsPerSecond],
        ...[batch.floorMs ?? "", batch.rooflineShare ?? "", batch.overheadUs, batch.javascriptUs],
        ...[memory.parameterBytes, memory.activationBytes],
      ]),
    ),
  ].join("");
}

function layersCsv({ batches }: BenchReport): string {
  const heads = ["batch", "name", "kind", "output_shape", "median_ms", "multiply_adds"];
  return [
    csvLine([
      ...heads,
      "products",
      "bytes",
      "arithmetic_ms",
      "memory_ms",
      "floor_ms",
      "bound",
      "share",
    ]),
    ...batches.flatMap(({ batch, layers }) =>
      layers.map(({ name, kind, outputShape, medianMs, ...roof }) =>
        csvLine([
          ...[batch, name, kind, outputShape.join("x"), medianMs],
          ...[roof.multiplyAdds, roof.products, roof.bytes],
          ...[roof.arithmeticMs ?? "", roof.memoryMs ?? "", roof.floorMs ?? ""],
          ...[roof.bound ?? "", roof.share ?? ""],
        ]),
      ),
    ),
  ].join("");
}

/**
 * Writes a report's files into a folder. Replaces the files of an earlier report.
 * @returns the names of the files
 * @throws {VggError} DISK_FULL, FOLDER_UNUSABLE; ADDON_MISSING if sharp, which draws the PNGs, cannot be loaded
 */
export async function exportReport(report: BenchReport, folder: string): Promise<string[]> {
  const sharp = await importSharp();
  const files = new Map<string, Uint8Array>();
  const addText = (name: string, content: string) => files.set(name, Buffer.from(content));
  addText("bench.json", `${JSON.stringify(report, null, 2)}\n`);
  addText("batches.csv", batchesCsv(report));
  addText("layers.csv", layersCsv(report));
  for (const [name, svg] of figures(report)) {
    addText(`${name}.svg`, svg);
    files.set(`${name}.png`, await sharp(Buffer.from(svg), { density: 144 }).png().toBuffer());
  }
  for (const [name, bytes] of files)
    await replaceFile(join(folder, name), (file) => file.write(bytes));
  return [...files.keys()];
}
