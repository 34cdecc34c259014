// Shared by the scripts that write docs/benchmark.md.

export const unique = (values) => [...new Set(values)];

/** A table whose first column is text and whose others are numbers. */
export const table = (header, rows) =>
  [header, header.map((_, i) => (i === 0 ? "---" : "---:")), ...rows]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
