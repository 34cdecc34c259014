// Writes embeddings row by row as npy, safetensors, CSV or JSON lines, so that memory stays bounded.
import { rangeError } from "../../check.js";
import { csvLine } from "../../csv.js";
import { type NewFile, replaceFile } from "../../files/replace.js";
import { visibleLines } from "../../visible.js";
import { type Description, descriptionPath } from "./description.js";
import { rowText } from "./float-text.js";

/** Receives the rows in order. */
export interface RowWriter {
  row(file: string, embedding: Float32Array): Promise<void>;
  /** Ends the output when the last row is written. */
  end(): Promise<void>;
}

/** What is known before the first row. `files` are all images, also those that will fail. */
export interface Plan extends Description {
  /** The number of values of a row. */
  readonly length: number;
}

/** Makes the writer of a format. `out` is the path that the user gave. */
type MakeWriter = (file: Pick<NewFile, "write" | "writeAt">, plan: Plan, out: string) => RowWriter;

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Bytes of a .npy file before the numbers. They hold any number of rows, so the header can be written last. */
const npyHeaderBytes = 128;

/** Returns the header of version 1.0: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
function npyHeader(rows: number, length: number): Buffer {
  const dictionary = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${length}), }`;
  const header = Buffer.alloc(npyHeaderBytes, " ");
  header.write("\x93NUMPY\x01\x00", "latin1");
  header.writeUInt16LE(npyHeaderBytes - 10, 8);
  header.write(dictionary, 10, "latin1");
  header.write("\n", npyHeaderBytes - 1, "latin1");
  return header;
}

const npy: MakeWriter = (file, { length, files: _, ...made }, out) => {
  const files: string[] = [];
  return {
    async row(name, embedding) {
      if (files.length === 0) await file.write(npyHeader(0, length));
      files.push(name);
      await file.write(bytesOf(embedding));
    },
    async end() {
      await file.writeAt(npyHeader(files.length, length), 0);
      const description: Description = { ...made, files };
      await replaceFile(descriptionPath(out), (beside) =>
        beside.write(Buffer.from(`${JSON.stringify(description)}\n`)),
      );
    },
  };
};

/** The limit of the format. */
export const maxHeaderBytes = 100_000_000;

function safetensorsHeader({ length, files, ...made }: Plan): Buffer {
  const { arch, weights, layer, pool, normalize, preprocessing } = made;
  const metadata = {
    format: "pt",
    ...{ arch, weights, layer, pool: JSON.stringify(pool), normalize: JSON.stringify(normalize) },
    preprocessing: JSON.stringify(preprocessing),
    files: JSON.stringify(files),
  };
  const tensor = {
    dtype: "F32",
    shape: [files.length, length],
    data_offsets: [0, 4 * files.length * length],
  };
  return Buffer.from(JSON.stringify({ __metadata__: metadata, embeddings: tensor }));
}

const safetensors: MakeWriter = (file, plan) => {
  const files: string[] = [];
  // The header of all images leaves room for that of the images that succeed.
  const reserved = Math.ceil(safetensorsHeader(plan).byteLength / 8) * 8;
  if (reserved > maxHeaderBytes)
    throw rangeError(
      `a .npy file, because the images' names take more than ${maxHeaderBytes} bytes,`,
      "--out",
      ".safetensors",
    );
  return {
    async row(name, embedding) {
      if (files.length === 0) await file.write(Buffer.alloc(8 + reserved, " "));
      files.push(name);
      await file.write(bytesOf(embedding));
    },
    async end() {
      const header = Buffer.alloc(8 + reserved, " ");
      header.writeBigUInt64LE(BigInt(reserved));
      safetensorsHeader({ ...plan, files }).copy(header, 8);
      await file.writeAt(header, 0);
    },
  };
};

const csv: MakeWriter = (file, { length }) => {
  let isFirst = true;
  return {
    async row(name, embedding) {
      const head = isFirst ? csvLine(["file", ...Array(length).keys()]) : "";
      isFirst = false;
      const cell = csvLine([name]).slice(0, -1);
      await file.write(Buffer.from(`${head}${cell},${rowText(embedding)}\n`));
    },
    end: async () => {},
  };
};

const jsonl: MakeWriter = (file) => ({
  row: (name, embedding) =>
    file.write(
      Buffer.from(`{"file":${JSON.stringify(name)},"embedding":[${rowText(embedding)}]}\n`),
    ),
  end: async () => {},
});

/** By extension. */
export const writers: Readonly<Record<string, MakeWriter>> = {
  ".npy": npy,
  ".safetensors": safetensors,
  ".csv": csv,
  ".jsonl": jsonl,
};

/** The formats that are text, which stdout takes. */
export const textFormats = ["jsonl", "csv"] as const;

/** Makes a writer to stdout. It waits while a reader is slow, so that no text piles up. */
export function stdoutWriter(format: (typeof textFormats)[number], plan: Plan): RowWriter {
  const write = (bytes: Uint8Array) =>
    new Promise<void>((resolve) => {
      const shown = process.stdout.isTTY ? visibleLines(Buffer.from(bytes).toString()) : bytes;
      process.stdout.write(shown, () => resolve()); // main.ts listens to the stream's errors
    });
  const unused = () => Promise.reject(new Error("stdout has no positions"));
  return writers[`.${format}`]!({ write, writeAt: unused }, plan, "-");
}
