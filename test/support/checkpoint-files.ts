// Helpers for the tests of checkpoints: writing files, expecting refusals, and wrapping pickles in a zip.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect } from "vitest";
import { readCheckpoint, VggError } from "../../lib/index.ts";
import { pickle, rebuilt, storage, text } from "./pickle.ts";
import { zip } from "./zip.ts";

/** The folder of PyTorch's checkpoints. */
export const folder = fileURLToPath(new URL("../golden/checkpoints/", import.meta.url));

/** A temporary folder for the test file that imports this module. It is removed at the end. */
export const scratch = mkdtempSync(join(tmpdir(), "vgg-checkpoint-"));
afterAll(() => rmSync(scratch, { recursive: true }));

export function write(bytes: Uint8Array, name = "file"): string {
  const path = join(scratch, name);
  writeFileSync(path, bytes);
  return path;
}

export async function refusal(bytes: Uint8Array | string): Promise<VggError> {
  const path = typeof bytes === "string" ? bytes : write(bytes);
  const error = await readCheckpoint(path).then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(VggError);
  expect((error as VggError).message.startsWith(`${path}: `)).toBe(true);
  return error as VggError;
}

export const tensor = (elements: string, offset: string, shape: string, strides: string) =>
  rebuilt(storage(elements), offset, shape, strides);
export const stateDict = (value: string) => pickle(`}${text("w")}${value}s`);
export const file = (data: Uint8Array, storageBytes = 24) =>
  zip([
    { name: "x/data.pkl", data },
    { name: "x/data/0", data: Buffer.alloc(storageBytes, 1) },
    { name: "x/version", data: Buffer.from("3\n") },
  ]);
