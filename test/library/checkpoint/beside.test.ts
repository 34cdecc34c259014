// What may lie beside a state dict, Python 2's strings, and unusual tensors.
import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../../lib/checkpoint/open.ts";
import { commandLineMessage } from "../../../lib/errors.ts";
import { readCheckpoint } from "../../../lib/index.ts";
import { file, folder, refusal, stateDict, tensor, write } from "../../support/checkpoint-files.ts";
import { int, pickle, rebuilt, storage, text } from "../../support/pickle.ts";

const whole = tensor(int(6), int(0), int(6), int(1));
const tensorOf = (type: string, elements: number) =>
  rebuilt(storage(int(elements), "1", type), int(0), int(elements), int(1));

describe("what lies beside the state dict", () => {
  const object = "cargparse\nNamespace\n)R";
  const beside = (value: string, name = "beside") =>
    file(pickle(`}(${text("model")}}${text("w")}${whole}s${text(name)}${value}u`));

  it.each<[string, string]>([
    ["a call of os.system", `cos\nsystem\n(${text("true")}tR`],
    ["a call of what a call gives", `cbuiltins\ngetattr\n(cos\nsystem\n${text("x")}tR)R`],
    ["a function", "cos\nsystem\n"],
    ["a name from the stack", `${text("os")}${text("system")}\x93`],
    ["INST", "(ios\nsystem\n"],
    ["OBJ", `(cos\nsystem\n${text("true")}o`],
    ["NEWOBJ", "cos\nsystem\n)\x81"],
    ["NEWOBJ_EX", "cos\nsystem\n)}\x92"],
    ["BUILD with a dictionary", `${object}}b`],
    ["BUILD with a pair", `${object}N}\x86b`],
    ["BUILD with a number", `${object}${int(7)}b`],
    ["BUILD of a tensor that has attributes", `${whole}}b`],
    ["APPENDS to an object", `${object}(${int(1)}]e`],
    ["ADDITEMS to an object", `${object}(${int(1)}\x90`],
    ["SETITEMS in an object", `${object}(${int(1)}${object}u`],
    ["an object as a key", `}${object}Ns`],
    [
      "an object in a list, a tuple, a set and a frozenset",
      `](${object}\x85(${object}\x91\x8f(${object}\x90e`,
    ],
    ["an object that holds itself", `${object}q\x00}${text("self")}h\x00sb`],
    ["a persistent id that is a text", `${text("0")}Q`],
    ["a persistent id in a line", "P7\n"],
    ["a module's persistent id", `(${text("module")}ctorch.nn\nModule\nNNtQ)\x81}b`],
    ["an extension", "\x84\x01\0\0\0)R"],
    ["bytes", "B\x02\0\0\0ab"],
    ["a long integer", `\x8b\x20\0\0\0${"\xff".repeat(32)}`],
    ["a text of 2 MiB", text("x".repeat(2 ** 21))],
    ["half a surrogate pair", "X\x04\0\0\0a\xed\xb2\x80"],
    ["a number of Python 2", "L12345678901234567890L\n"],
    [
      "lines of protocol 0",
      "(lp7\nI1\naI01\naF1e-3\naS'it\\'s \\x41\\n'\naVcaf\\u00e9\nag7\na(dp8\n0",
    ],
    ["POP_MARK and DUP", "N(NN120"],
    ["a complex tensor", tensorOf("ComplexFloatStorage", 3)],
    ["a quantised storage", tensorOf("QInt8Storage", 24)],
    [
      "a quantised tensor",
      `ctorch._utils\n_rebuild_qtensor\n(${storage(int(24), "1", "QUInt8Storage")}tR`,
    ],
    ["a sparse tensor", "ctorch._utils\n_rebuild_sparse_tensor\n(NNtR"],
    ["a dtype", "ctorch\ncomplex64\n"],
    ["an unknown class of torch's", "ctorch.nn.modules.container\nSequential\n)\x81}b"],
  ])("may be %s", async (_, value) => {
    const tensors = await readCheckpoint(write(beside(value)));
    expect([...tensors.keys()]).toEqual(["w"]);
  });

  it.each<[string, string, string, string]>([
    [
      "a tensor of the state dict",
      "model",
      `}(${text("w")}${whole}${text("x")}${object}u`,
      '"x" of "model"',
    ],
    ["the state dict", "model", object, 'the key "model"'],
  ])("is refused if an object stands for %s", async (_, key, value, place) => {
    const error = await refusal(file(pickle(`}${text(key)}${value}s`)));
    expect(error.code).toBe("CHECKPOINT_UNSAFE");
    expect(error.message).toContain(place);
    expect(error.message).toContain('an object of "argparse.Namespace"');
  });

  it("is refused under the key that is asked for", async () => {
    const path = write(beside(object, "args"));
    await expect(readCheckpoint(path, { key: "args" })).rejects.toMatchObject({
      code: "CHECKPOINT_UNSAFE",
    });
    expect((await readCheckpoint(path, { key: "model" })).size).toBe(1);
  });

  it("is refused if several are state dicts, with their names cut", async () => {
    const names = Array.from({ length: 20 }, (_, i) => `${i}${"x".repeat(1000)}`);
    const dicts = names.map((name) => `${text(name)}}${text("w")}${whole}s`);
    const error = await refusal(file(pickle(`}(${dicts.join("")}u`)));
    expect(error.code).toBe("CHECKPOINT_FORMAT");
    expect(error.message).toMatch(/but found \["0x.*… 20 items\]; choose with the option key$/);
    expect(error.message.length).toBeLessThan(1200);
    expect(commandLineMessage(error)).toMatch(/; choose with --key$/);
  });

  it("is named by its class if a helper makes it", async () => {
    const helper = `ccopy_reg\n_reconstructor\n(cmy.code\nNet\nNNtR}b`;
    expect((await refusal(file(pickle(helper)))).message).toContain('"my.code.Net"');
  });

  it.each([
    ["a list of 1", `(${whole}l`],
    ["a tuple of 1", `${whole}\x85`],
    ["a tensor", whole],
    ["7", int(7)],
  ])("is refused if there is no state dict: %s", async (kind, value) => {
    const error = await refusal(file(pickle(value)));
    expect(error.code).toBe("CHECKPOINT_FORMAT");
    expect(error.message).toContain(`but received ${kind}; save model.state_dict()`);
  });

  it("is refused with advice if the state dict has arrays of numpy", async () => {
    const array = "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tU\x01btRNb";
    const error = await refusal(file(stateDict(array)));
    expect(error.code).toBe("CHECKPOINT_UNSAFE");
    expect(error.message).toMatch(/an object of "numpy.ndarray", .* torch.from_numpy/);
  });

  it("is unsupported if the state dict has a quantised layer's pair", async () => {
    const value = `${tensorOf("QInt8Storage", 24)}${whole}\x86`;
    const error = await refusal(file(pickle(`}(${text("s")}${whole}${text("w")}${value}u`)));
    expect(error.code).toBe("CHECKPOINT_UNSUPPORTED");
  });

  it("is unsupported if the state dict has a tensor of other numbers", async () => {
    const value = tensorOf("QInt8Storage", 24);
    const error = await refusal(file(pickle(`}${text("model")}}${text("w")}${value}ss`)));
    expect(error.code).toBe("CHECKPOINT_UNSUPPORTED");
    expect(error.message).toMatch(
      /real numbers for "w" of "model" but received one of torch.QInt8/,
    );
  });

  it("may be many objects, within the limit of steps", async () => {
    const many = `](catoms\nBox\nq\x00${"h\x00)R".repeat(90_000)}e`;
    expect((await readCheckpoint(write(beside(many)))).size).toBe(1);
    const more = `](catoms\nBox\nq\x00${"h\x00)R0".repeat(1_300_000)}e`;
    expect((await refusal(beside(more))).code).toBe("CHECKPOINT_LIMIT");
    const filled = `](catoms\nBox\nq\x00${"h\x00)RNNs0".repeat(110_000)}e`;
    expect((await refusal(beside(filled))).code).toBe("CHECKPOINT_LIMIT");
    const counters = `}(${Array.from({ length: 40_000 }, (_, i) => `${int(i)}N`).join("")}u\x85q\x00`;
    const copies = `${counters}0ccollections\nCounter\nq\x01](${"h\x01h\x00R".repeat(500)}e`;
    expect((await refusal(beside(copies))).code).toBe("CHECKPOINT_LIMIT");
    const items = counters.slice(0, -"\x85q\x00".length);
    const defaults = `${items}q\x000ccollections\ndefaultdict\nq\x01](${"h\x01Nh\x00\x86R".repeat(500)}e`;
    expect((await refusal(beside(defaults))).code).toBe("CHECKPOINT_LIMIT");
    const half = `${text("a".repeat(2 ** 20))}q\x000`;
    const names = `${half}](${"h\x00h\x00\x93".repeat(2000)}e`;
    expect((await refusal(beside(names))).code).toBe("CHECKPOINT_LIMIT");
  });

  it.each<[string, string]>([
    ["states of 90,000 items", `(${"N".repeat(90_000)}tq\x000${object}${"h\x00b".repeat(200_000)}`],
    [
      "calls of a long name",
      `${text("a")}${text("b".repeat(1e6))}\x93q\x000${"h\x00)R0".repeat(200_000)}N`,
    ],
    [
      "calls of a long name of torch's",
      `${text("torch._utils")}${text(`_rebuild_${"b".repeat(1e6)}`)}\x93q\x000${"h\x00)R0".repeat(200_000)}N`,
    ],
  ])("may be 200,000 %s, which take no time", async (_, value) => {
    const start = process.cpuUsage();
    expect((await readCheckpoint(write(beside(value)))).size).toBe(1);
    expect(process.cpuUsage(start).user).toBeLessThan(5e6);
  });
});

describe("Python 2's strings", () => {
  it.each<[string, string, string]>([
    ["a short string", "U\x01w", "w"],
    ["a string", "T\x01\0\0\0w", "w"],
    ["a quoted string", "S'w'\n", "w"],
    ["a quoted string with escapes", 'S"\\x77\\061\\t\\\\"\n', "w1\t\\"],
    ["an escaped Unicode string", "Vcaf\\u00e9 \xe9 \\U0001f600\n", "café é 😀"],
    ["UTF-8", "U\x05caf\xc3\xa9", "café"],
    ["Latin-1, because it is not UTF-8", "U\x04caf\xe9", "café"],
  ])("may name tensors: %s", async (_, written, name) => {
    const tensors = await readCheckpoint(write(file(pickle(`}${written}${whole}s`))));
    expect([...tensors.keys()]).toEqual([name]);
  });
});

describe("a tensor", () => {
  it.each<[string, string]>([
    ["a Parameter of PyTorch 0.3", `ctorch.nn.parameter\nParameter\n${whole}\x85R(\x89\x89Ntb`],
    [
      "a tensor with attributes",
      `ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\nctorch.nn.parameter\nParameter\n(${storage(int(6))}${int(0)}(${int(6)}t(${int(1)}t\x89}t}tR`,
    ],
  ])("may be %s", async (_, value) => {
    expect((await readCheckpoint(write(file(stateDict(value))))).get("w")!.shape).toEqual([6]);
  });

  it.each<[string, string, string]>([
    [
      "a class of its own",
      "ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nctorch\nTensor\n)NtR",
      "CHECKPOINT_UNSAFE",
    ],
    ["a storage for its state", `${whole}(${storage(int(6))}tb`, "CHECKPOINT_UNSAFE"],
    ["no storage", "ctorch._utils\n_rebuild_meta_tensor_no_storage\n)R", "CHECKPOINT_UNSUPPORTED"],
  ])("is refused with %s", async (_, value, code) => {
    expect((await refusal(file(stateDict(value)))).code).toBe(code);
  });
});

describe("a file that PyTorch wrote", () => {
  it.each([
    ["class-to-idx.pth", ["cat", "dog"]],
    ["namespace-labels.pth", ["cat", "dog"]],
    ["python2.pth", ["caté", "dog"]],
    ["python2-legacy.pth", ["caté", "dog"]],
    ["beside.pth", undefined],
  ])("has the class names that lie beside its state dict: %s", async (name, labels) => {
    const checkpoint = await openCheckpoint(folder + name);
    await checkpoint.close();
    expect(checkpoint.contents.labels).toEqual(labels);
  });

  it.each(["", "-legacy", "-protocol1", "-protocol4", "-legacy-protocol4"])(
    "is read whatever lies beside its state dict: beside%s.pth",
    async (variant) => {
      const path = `${folder}beside${variant}.pth`;
      expect((await readCheckpoint(path)).size).toBe(3);
      for (const key of ["args", "history", "tensors", "number", "best"])
        await expect(readCheckpoint(path, { key })).rejects.toMatchObject({
          code: /args|number|best/.test(key) ? "CHECKPOINT_UNSAFE" : "CHECKPOINT_FORMAT",
        });
    },
  );
});
