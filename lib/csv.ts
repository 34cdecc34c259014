// Tables as CSV: RFC 4180, but lines end in LF.

export type CsvCell = string | number;

const cellText = (cell: CsvCell) =>
  /[",\r\n]/.test(String(cell)) ? `"${String(cell).replaceAll('"', '""')}"` : String(cell);

export const csvLine = (cells: readonly CsvCell[]) => `${cells.map(cellText).join(",")}\n`;
