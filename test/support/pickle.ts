// A pickle writer for tests, opcode by opcode. It writes what PyTorch writes, and what no program should.

/** Joins parts into a pickle of protocol 2. */
export const pickle = (...parts: (string | number[])[]): Buffer =>
  Buffer.concat([
    Buffer.of(0x80, 2),
    ...parts.map((part) =>
      typeof part === "string" ? Buffer.from(part, "latin1") : Buffer.from(part),
    ),
    Buffer.from("."),
  ]);

export const text = (value: string): string => {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return `X${length.toString("latin1")}${bytes.toString("latin1")}`;
};

export const int = (value: number): string => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return `J${bytes.toString("latin1")}`;
};

export const long = (value: bigint): string => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(value);
  return `\x8a\x08${bytes.toString("latin1")}`;
};

/** A persistent id. The count is an opcode. */
export const storage = (elements: string, key = "0", type = "FloatStorage"): string =>
  `(${text("storage")}c${type === "UntypedStorage" ? "torch.storage" : "torch"}\n${type}\n${text(key)}${text("cpu")}${elements}tQ`;

/** A tensor of a storage. The numbers are opcodes. */
export const rebuilt = (from: string, offset: string, shape: string, strides: string): string =>
  `ctorch._utils\n_rebuild_tensor_v2\n(${from}${offset}(${shape}t(${strides}t\x89ccollections\nOrderedDict\n)RtR`;
