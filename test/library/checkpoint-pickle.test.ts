// The pickles in checkpoints: what they may hold, and why they are refused.
import { describe, expect, it } from "vitest";
import { readCheckpoint } from "../../lib/index.ts";
import { file, refusal, stateDict, tensor, write } from "../support/checkpoint-files.ts";
import { int, long, pickle, storage, text } from "../support/pickle.ts";

const whole = tensor(int(6), int(0), int(6), int(1));
describe("a pickle", () => {
  it("may hold strided views", async () => {
    const path = write(file(stateDict(tensor(int(6), int(1), int(2) + int(2), int(2) + int(1)))));
    expect((await readCheckpoint(path)).get("w")!.shape).toEqual([2, 2]);
    const expanded = write(file(stateDict(tensor(int(6), int(5), int(1000), int(0)))));
    expect((await readCheckpoint(expanded)).get("w")!.size).toBe(1000);
  });

  it.each<[string, Uint8Array, string]>([
    ["a call of os.system", pickle("cos\nsystem\n", `(${text("true")}tR`), "CHECKPOINT_UNSAFE"],
    ["builtins.eval", pickle("cbuiltins\neval\n", `(${text("1")}tR`), "CHECKPOINT_UNSAFE"],
    ["an unknown name for a tensor", stateDict("cnumpy\nndarray\n"), "CHECKPOINT_UNSAFE"],
    ["a name from the stack", pickle(text("os"), text("system"), "\x93"), "CHECKPOINT_UNSAFE"],
    ["a call of a storage type", pickle("ctorch\nFloatStorage\n)R"), "CHECKPOINT_UNSAFE"],
    [
      "bytearray(2**32)",
      pickle("cbuiltins\nbytearray\n", `(${long(2n ** 32n)}tR`),
      "CHECKPOINT_UNSAFE",
    ],
    ["INST", pickle("(ios\nsystem\n"), "CHECKPOINT_UNSAFE"],
    ["OBJ", pickle("(cos\nsystem\no"), "CHECKPOINT_UNSAFE"],
    ["NEWOBJ", pickle("ctorch.nn\nModule\n)\x81"), "CHECKPOINT_UNSAFE"],
    ["NEWOBJ_EX", pickle("ctorch.nn\nModule\n)}\x92"), "CHECKPOINT_UNSAFE"],
    ["bytes", pickle("C\x01a"), "CHECKPOINT_UNSAFE"],
    ["an extension", pickle("\x82\x01"), "CHECKPOINT_UNSAFE"],
    ["an unknown opcode", pickle("}\xff"), "CHECKPOINT_CORRUPT"],
    ["BUILD of a list", pickle("]}b"), "CHECKPOINT_UNSAFE"],
    ["a module's persistent id", pickle(`(${text("module")}NtQ`), "CHECKPOINT_UNSAFE"],
    ["a string as persistent id", pickle(text("0"), "Q"), "CHECKPOINT_UNSAFE"],
    [
      "a path as storage key",
      stateDict(`ctorch._utils\n_rebuild_tensor_v2\n(${storage(int(6), "../0")}${int(0)})))tR`),
      "CHECKPOINT_CORRUPT",
    ],
    // PyTorch refuses these too.
    ["a dictionary as key", pickle("}}Ns"), "CHECKPOINT_CORRUPT"],
    ["a list in a tuple as key", pickle("}]\x85Ns"), "CHECKPOINT_CORRUPT"],
    ["a set as key", pickle("}cbuiltins\nset\n(]tRNs"), "CHECKPOINT_CORRUPT"],
    [
      "a list as key of an OrderedDict",
      pickle("ccollections\nOrderedDict\n(](]NtatR"),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "three items as a pair",
      pickle(`ccollections\nOrderedDict\n(](${text("a")}NNtatR`),
      "CHECKPOINT_CORRUPT",
    ],
    ["attributes of a plain dictionary", pickle("}}b"), "CHECKPOINT_UNSAFE"],
    [
      "attributes that are not a dictionary",
      pickle("ccollections\nOrderedDict\n)RNb"),
      "CHECKPOINT_CORRUPT",
    ],
    ["a Size of strings", pickle(`ctorch\nSize\n(${text("1")}tR`), "CHECKPOINT_CORRUPT"],
    [
      "a tensor of four arguments",
      stateDict(
        `ctorch._utils\n_rebuild_tensor_v2\n(${storage(int(6))}${int(0)}(${int(6)}t(${int(1)}ttR`,
      ),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "a floating-point size",
      stateDict(tensor(int(6), int(0), "G\x40\x18\0\0\0\0\0\0", int(1))),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "a storage of six items",
      stateDict(tensor(`${int(6)}N`, int(0), int(6), int(1))),
      "CHECKPOINT_CORRUPT",
    ],
    ["nothing on the stack", pickle(""), "CHECKPOINT_CORRUPT"],
    ["a missing mark", pickle("t"), "CHECKPOINT_CORRUPT"],
    ["a missing memo", pickle("h\x07"), "CHECKPOINT_CORRUPT"],
    ["two values at the end", pickle("}}"), "CHECKPOINT_CORRUPT"],
    ["a string past the end", pickle("X\xff\xff\x00\x00a"), "CHECKPOINT_CORRUPT"],
    ["a huge string past the end", pickle("X\xff\xff\xff\x7fa"), "CHECKPOINT_CORRUPT"],
    ["a huge integer past the end", pickle("\x8a\xff"), "CHECKPOINT_CORRUPT"],
    ["a negative length", pickle("T\xff\xff\xff\xffa"), "CHECKPOINT_CORRUPT"],
    ["bytes of a length beyond 2^53", pickle("\x8e\0\0\0\0\0\0\0\xffa"), "CHECKPOINT_CORRUPT"],
    ["a text that is not UTF-8", pickle("X\x01\0\0\0\xff"), "CHECKPOINT_CORRUPT"],
    ["a text without quotes", pickle("Sa\n"), "CHECKPOINT_CORRUPT"],
    ["letters for an integer", pickle("Ia\n"), "CHECKPOINT_CORRUPT"],
    ["letters for a number", pickle("Fa\n"), "CHECKPOINT_CORRUPT"],
    ["a line without end", pickle("I1"), "CHECKPOINT_CORRUPT"],
    ["a call of a text", pickle(`${text("os")})R`), "CHECKPOINT_CORRUPT"],
    ["a list in a set", pickle("\x8f(]\x90"), "CHECKPOINT_CORRUPT"],
    ["a list in a frozenset", pickle("(]\x91"), "CHECKPOINT_CORRUPT"],
    ["a list as a key of an object", pickle("catoms\nBox\n)R]Ns"), "CHECKPOINT_CORRUPT"],
    ["a tensor under a name of bytes", pickle(`}C\x01w${whole}s`), "CHECKPOINT_UNSAFE"],
    ["an object that is not a dictionary", pickle("]"), "CHECKPOINT_FORMAT"],
    [
      "a view past its storage",
      stateDict(tensor(int(6), int(1), int(6), int(1))),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "an offset past its storage",
      stateDict(tensor(int(6), int(6), int(1), int(1))),
      "CHECKPOINT_CORRUPT",
    ],
    ["a negative offset", stateDict(tensor(int(6), int(-1), int(1), int(1))), "CHECKPOINT_CORRUPT"],
    ["a negative stride", stateDict(tensor(int(6), int(5), int(6), int(-1))), "CHECKPOINT_CORRUPT"],
    ["a negative size", stateDict(tensor(int(6), int(0), int(-6), int(1))), "CHECKPOINT_CORRUPT"],
    [
      "sizes whose product overflows",
      stateDict(tensor(int(6), int(0), long(2n ** 40n) + long(2n ** 40n), int(0) + int(0))),
      "CHECKPOINT_LIMIT",
    ],
    [
      "a view of 4 TiB over 24 bytes",
      stateDict(tensor(int(6), int(0), int(2 ** 30) + int(1024), int(0) + int(0))),
      "CHECKPOINT_LIMIT",
    ],
    [
      "strides that overflow",
      stateDict(tensor(int(6), int(0), int(3), long(2n ** 62n))),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "fewer strides than sizes",
      stateDict(tensor(int(6), int(0), int(2) + int(3), int(1))),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "a storage larger than its record",
      stateDict(tensor(int(7), int(0), int(6), int(1))),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "a storage of 2^62 elements",
      stateDict(tensor(long(2n ** 62n), int(0), int(6), int(1))),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "a complex storage",
      stateDict(
        `ctorch._utils\n_rebuild_tensor_v2\n(${storage(int(3), "0", "ComplexFloatStorage")}${int(0)}(${int(3)}t(${int(1)}t\x89ccollections\nOrderedDict\n)RtR`,
      ),
      "CHECKPOINT_UNSUPPORTED",
    ],
    [
      "two state dicts",
      pickle(
        `}(${text("model")}}${text("w")}${tensor(int(6), int(0), int(6), int(1))}s${text("state_dict")}}${text("w")}${tensor(int(6), int(0), int(6), int(1))}su`,
      ),
      "CHECKPOINT_FORMAT",
    ],
  ])("is refused with %s", async (_, data, code) => {
    expect((await refusal(file(data))).code).toBe(code);
  });

  it("that is nested or refers to itself is read safely", async () => {
    const deep = pickle("}", text("w"), "(".repeat(50_000), "t".repeat(50_000), "s");
    expect((await readCheckpoint(write(file(deep)))).size).toBe(0);
    const loop = pickle("}q\x00", text("self"), "h\x00s");
    expect((await readCheckpoint(write(file(loop)))).size).toBe(0);
    // Each of ten lists holds the list before it ten times: 10^10 leaves in a few bytes.
    const laughs = pickle(
      "]q\x00",
      ...Array.from(
        { length: 10 },
        (_, i) => `0](${`h${String.fromCharCode(i)}`.repeat(10)}eq${String.fromCharCode(i + 1)}`,
      ),
      "0}",
    );
    expect((await readCheckpoint(write(file(laughs)))).size).toBe(0);
  });
});

describe("a pickle that demands much memory or time", () => {
  const lists = {
    "a list that holds itself": "]q\x00h\x00a",
    "a list of 8^30 leaves": `]q\x00${`0(${"h\x00".repeat(8)}lq\x00`.repeat(30)}`,
  };
  const many = (count: number, item: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => item(i)).join("");

  it.each<[string, () => Uint8Array, string]>([
    ...Object.entries(lists).flatMap(([name, list]): [string, () => Uint8Array, string][] => [
      [
        `${name} as a number`,
        () => stateDict(tensor(list, int(0), int(6), int(1))),
        "CHECKPOINT_CORRUPT",
      ],
      [
        `${name} as a size`,
        () => stateDict(tensor(int(6), int(0), list, int(1))),
        "CHECKPOINT_CORRUPT",
      ],
      [`${name} as a persistent id`, () => pickle(`(${list}tQ`), "CHECKPOINT_UNSAFE"],
    ]),
    [
      "a shape of 50,000 sizes in 50,000 tensors",
      () =>
        pickle(
          `(${int(1).repeat(50_000)}tq\x000ctorch._utils\n_rebuild_tensor_v2\nq\x010${storage(int(6))}q\x020`,
          `](${`h\x01(h\x02${int(0)}h\x00h\x00\x89}tR`.repeat(50_000)}e`,
        ),
      "CHECKPOINT_LIMIT",
    ],
    [
      "an OrderedDict of 50,000 pairs 50,000 times",
      () =>
        pickle(
          `](${many(50_000, (i) => `${int(i)}N\x86`)}e\x85q\x000ccollections\nOrderedDict\nq\x010`,
          `](${"h\x01h\x00R".repeat(50_000)}e`,
        ),
      "CHECKPOINT_LIMIT",
    ],
    [
      "4,000,000 dictionaries",
      () => pickle("]", `(${"}".repeat(50_000)}e`.repeat(80)),
      "CHECKPOINT_LIMIT",
    ],
    [
      "one tensor under 120,000 names",
      () =>
        pickle(
          `${tensor(int(6), int(0), int(6), int(1))}q\x000}`,
          ...["a", "b", "c"].map(
            (letter) => `(${many(40_000, (i) => `${text(letter + i)}h\x00`)}u`,
          ),
        ),
      "CHECKPOINT_LIMIT",
    ],
  ])("is refused at once with %s", async (_, data, code) => {
    expect((await refusal(file(data()))).code).toBe(code);
  });

  it("is read at once with a dictionary of 40,000 numbers under 40,000 names", async () => {
    const data = pickle(
      `}(${many(40_000, (i) => `${int(i)}N`)}uq\x000}(${many(40_000, (i) => `${text(`${i}`)}h\x00`)}u`,
    );
    expect((await readCheckpoint(write(file(data)))).size).toBe(0);
  });
});
