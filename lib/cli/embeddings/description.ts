// What a file of embeddings says about them, beside the numbers.

/** How embeddings were made, and the images that they belong to. */
export interface Description {
  readonly arch: string;
  readonly layer: string;
  /** null: not pooled. */
  readonly pool: "mean" | "max" | null;
  readonly normalize: boolean;
  /** The image of each row. */
  readonly files: readonly string[];
}

/** Returns the file beside a .npy file that has its description as JSON. */
export const descriptionPath = (npy: string) => `${npy}.json`;

/** Reads a description from parsed JSON. Returns undefined if it is none. */
export function readDescription(json: unknown): Description | undefined {
  if (typeof json !== "object" || json === null) return undefined;
  const { arch, layer, pool, normalize, files } = json as Partial<Record<string, unknown>>;
  const isDescription =
    typeof arch === "string" &&
    typeof layer === "string" &&
    (pool === null || pool === "mean" || pool === "max") &&
    typeof normalize === "boolean" &&
    Array.isArray(files) &&
    files.every((file) => typeof file === "string");
  return isDescription ? { arch, layer, pool, normalize, files } : undefined;
}
