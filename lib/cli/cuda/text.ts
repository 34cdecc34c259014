// Formats sizes of libraries.

/** Formats a size: "1.55 GB". */
export function gigabytes(bytes: number): string {
  return bytes >= 1e7 ? `${(bytes / 1e9).toFixed(2)} GB` : `${bytes} bytes`;
}
