// Facts about a shared library of any platform, read by LLVM's tools: format, machine, exports, needs, versions, instruction sets.
import { spawnSync } from "node:child_process";
import { ToolError } from "./tools.mjs";

/** Runs one of LLVM's tools. @returns its output, or undefined if it cannot read the file */
function llvm(tool, args, file) {
  const { error, status, stdout } = spawnSync(tool, [...args, file], {
    encoding: "utf8",
    maxBuffer: 2 ** 30,
  });
  if (error?.code === "ENOENT") throw missing(tool);
  if (error) throw error;
  return status === 0 ? stdout : undefined;
}

const missing = (tool) => new ToolError(`Expected ${tool} in PATH. On Debian: apt install llvm`);

/** @throws {ToolError} without LLVM's tools. A build calls it first, because only its end inspects the file. */
export function requireLlvm() {
  for (const tool of ["llvm-readobj", "llvm-objdump"])
    if (spawnSync(tool, ["--version"]).error !== undefined) throw missing(tool);
}

/** The blocks of a kind in the output of llvm-readobj: what is between `KIND {` and its end. */
const blocks = (text, kind) =>
  [...text.matchAll(new RegExp(`^( *)${kind} \\{\\n([\\s\\S]*?)^\\1\\}`, "gm"))].map(
    ([, , body]) => body,
  );
const field = (text, name) => new RegExp(`^ *${name}: (.*?)(?: \\(.*\\))?$`, "m").exec(text)?.[1];
const fields = (text, name) => [
  ...new Set(
    [...text.matchAll(new RegExp(`^ *${name}:? (.*?)(?: \\(.*\\))?$`, "gm"))].map((m) => m[1]),
  ),
];

/** @returns the sections that a stripped file does not have */
const debugSections = (text) =>
  blocks(text, "Section")
    .map((section) => field(section, "Name"))
    .filter((name) => /^\.symtab$|^\.z?debug_|^__debug_/.test(name));

function readElf(file) {
  const what = ["--sections", "--needed-libs", "--dyn-symbols", "--version-info"];
  const text = llvm("llvm-readobj", [...what, "--dynamic-table"], file);
  if (text === undefined) return undefined;
  const defined = blocks(text, "Symbol").filter(
    (symbol) =>
      field(symbol, "Section") !== "Undefined" &&
      /^Global|^Weak|^Unique/.test(field(symbol, "Binding")),
  );
  const list = /^NeededLibraries \[\n([\s\S]*?)^\]/m.exec(text)?.[1] ?? "";
  const required = /^VersionRequirements \[\n([\s\S]*?)^\]/m.exec(text)?.[1] ?? "";
  return {
    exports: defined.map((symbol) => field(symbol, "Name")),
    needs: list
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean),
    versions: fields(required, "Name"),
    leftovers: debugSections(text),
    searchPath: /\b(RUNPATH|RPATH)\b.*/.exec(text)?.[0],
  };
}

function readPe(file) {
  const what = ["--file-headers", "--sections", "--coff-exports", "--coff-imports"];
  const text = llvm("llvm-readobj", what, file);
  if (text === undefined) return undefined;
  const imports = [...blocks(text, "Import"), ...blocks(text, "DelayImport")];
  const symbols = Number(field(text, "SymbolCount"));
  return {
    exports: blocks(text, "Export").map((symbol) => field(symbol, "Name")),
    needs: imports.map((library) => field(library, "Name")),
    versions: [],
    leftovers: [...debugSections(text), ...(symbols > 0 ? [`${symbols} symbols`] : [])],
  };
}

function readMachO(file) {
  const sections = llvm("llvm-readobj", ["--sections", "--symbols"], file);
  const text = llvm("llvm-objdump", ["--macho", "--private-headers", "--exports-trie"], file);
  if (sections === undefined || text === undefined) return undefined;
  const commands = text.split(/^Load command \d+$/m);
  const having = (pattern) => commands.filter((command) => pattern.test(command));
  const valueIn = (command, name) => new RegExp(`^ *${name} (\\S+)`, "m").exec(command ?? "")?.[1];
  const trie = /^Exports trie:\n([\s\S]*)/m.exec(text)?.[1] ?? "";
  return {
    exports: [...trie.matchAll(/^0x[0-9A-F]+ +_(\S+)/gim)].map(([, name]) => name),
    needs: having(/cmd LC_(LOAD|LOAD_WEAK|REEXPORT|LAZY_LOAD)_DYLIB\b/).map((one) =>
      valueIn(one, "name"),
    ),
    versions: [],
    leftovers: [
      ...debugSections(sections),
      ...(/Type: SymDebugTable/.test(sections) ? ["symbols for debuggers"] : []),
    ],
    searchPath: valueIn(having(/cmd LC_RPATH\b/)[0], "path"),
    minimum: valueIn(having(/cmd LC_BUILD_VERSION\b/)[0], "minos"),
    isSigned: having(/cmd LC_CODE_SIGNATURE\b/).length === 1,
  };
}

/** Registers that only one instruction set has, as llvm-objdump writes them. */
const registers = { avx512: /%zmm\d/, avx2: /%ymm\d/ };

/** @returns how many instructions use the registers of each instruction set, in a file for x86-64 */
function countInstructions(file) {
  const counts = Object.fromEntries(Object.keys(registers).map((name) => [name, 0]));
  const code = llvm("llvm-objdump", ["--disassemble", "--no-show-raw-insn"], file) ?? "";
  for (const line of code.split("\n"))
    for (const [name, register] of Object.entries(registers))
      if (register.test(line)) counts[name]++;
  return counts;
}

const readers = { elf64: readElf, COFF: readPe, "Mach-O": readMachO };

/**
 * Reads a shared library.
 * @returns its `format` (elf64, COFF or Mach-O), `machine` (x86_64 or aarch64), the names in `exports`, the libraries in `needs`, the
 * symbol `versions` that it asks for, `leftovers` of debugging, its `searchPath` for libraries if it has one, the number of
 * `instructions` of each instruction set (x86-64 only), and for Mach-O the `minimum` version of macOS and whether it `isSigned`;
 * or undefined if the file is no such library
 * @throws {ToolError} without LLVM's tools
 */
export function readBinary(file) {
  const header = llvm("llvm-readobj", ["--file-headers"], file);
  const format = header && /^Format: (elf64|COFF|Mach-O)/m.exec(header)?.[1];
  const facts = format && readers[format](file);
  if (!facts) return undefined;
  const machine = field(header, "Arch");
  const instructions = machine === "x86_64" ? countInstructions(file) : {};
  return { format, machine, instructions, ...facts };
}
