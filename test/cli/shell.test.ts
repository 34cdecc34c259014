// The command line as people meet it in a shell: help, completion, columns, flags in messages, and doctor's verdict.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { architectures } from "../../lib/index.ts";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

function vgg(args: readonly string[], env: Record<string, string> = {}) {
  const options = { encoding: "utf8" as const, env: { ...process.env, ...env } };
  return spawnSync(process.execPath, [script, ...args], options);
}

const commandNames = vgg(["completion", "bash"])
  .stdout.match(/COMP_CWORD" -eq 1 \]; then found="([^"]+)"/)![1]!
  .split(" ");
const hasShell = (name: string) => spawnSync(name, ["--version"]).error === undefined;

describe("help", () => {
  it.each(commandNames)("of %s has an example whose flags exist, and the exit codes", (name) => {
    const { status, stdout } = vgg([name, "--help"]);
    expect(status).toBe(0);
    const examples = stdout.match(/^Examples:\n((?: {2}.*\n)+)/m)![1]!;
    const flags = examples.match(/(?<= )--[a-z-]+/g) ?? [];
    expect(flags.filter((flag) => !stdout.includes(`\n  ${flag} `) && flag !== "--help")).toEqual(
      [],
    );
    expect(examples).toContain(`vgg ${name}`);
    expect(stdout).toContain("Exit codes:\n  0  done");
    expect(stdout).not.toContain("default: false");
  });

  it("of the program has environment variables", () => {
    expect(vgg([]).stdout).toMatch(/Environment:\n(.*\n)* {2}VGG_WEIGHTS_MIRROR /);
  });
});

describe("80 columns", () => {
  const lines: [string, string[]][] = [
    ["--help", ["--help"]],
    ...["install", "list", "remove"].map((name): [string, string[]] => [
      `cuda ${name} --help`,
      ["cuda", name, "--help"],
    ]),
    ...commandNames.map((name): [string, string[]] => [`${name} --help`, [name, "--help"]]),
    ...architectures.map((arch): [string, string[]] => [
      `summary of ${arch}`,
      ["summary", "--arch", arch, "--image-size", "512"],
    ]),
    ["the list of weights", ["pull", "--list"]],
  ];
  it.each(lines)("hold %s", (_, args) => {
    const { stdout } = vgg(args);
    expect(stdout.split("\n").filter((line) => line.length > 80)).toEqual([]);
  });

  it("hold the report of doctor, except for paths, which are never broken", () => {
    const { stdout } = vgg(["doctor"], { VGG_ADDON: "/nonexistent.node" });
    const long = stdout.split("\n").filter((line) => line.length > 80);
    expect(long.filter((line) => line.trim().includes(" "))).toEqual([]);
  });
});

describe("vgg doctor", () => {
  const hasGpu = JSON.parse(vgg(["doctor", "--json"]).stdout).cuda.available;

  it("ends in one sentence, the verdict", () => {
    expect(vgg(["doctor"]).stdout.trimEnd().split("\n").at(-1)).toMatch(/^This machine is ready: /);
    const { isReady, verdict } = JSON.parse(vgg(["doctor", "--json"]).stdout);
    expect([isReady, verdict]).toEqual([true, expect.stringMatching(/^This machine is ready: /)]);
    const { status, stdout } = vgg(["doctor"], { VGG_ADDON: "/nonexistent.node" });
    expect([status, stdout]).toEqual([
      1,
      expect.stringMatching(/\nThis machine is not ready: .*\n$/),
    ]);
  });

  it("says once that there is no driver", () => {
    const { stdout } = vgg(["doctor"], { VGG_CUDA_PATH: "" });
    expect(stdout.match(/no NVIDIA driver/g) ?? []).toHaveLength(hasGpu ? 0 : 1);
  });

  it("fails if the required kind of device is not ready", () => {
    expect(vgg(["doctor", "--require", "cpu"]).status).toBe(0);
    expect(vgg(["doctor", "--require", "cuda"]).status).toBe(hasGpu ? 0 : 1);
    expect(vgg(["doctor", "--require", "cuda"], { VGG_CUDA_PATH: "/nowhere" }).status).toBe(1);
    expect(vgg(["doctor", "--require", "tpu"]).status).toBe(2);
  });
});

describe("a message about a wrong value", () => {
  it.each([
    [["check", "--image-size", "28"], "for --image-size but received 28"],
    [["check", "--num-classes", "0"], "for --num-classes but received 0"],
    [["check", "--in-channels", "0"], "for --in-channels but received 0"],
    [["check", "--device", "tpu"], 'for --device but received "tpu"'],
  ])("of %j names the flag", (args, message) => {
    const { status, stderr } = vgg(args);
    expect([status, stderr]).toEqual([2, expect.stringContaining(message)]);
  });

  it("names the way out if the weights are missing", () => {
    expect(vgg(["classify", "cat.jpg"]).stderr).toBe(
      "vgg: required option '--weights <file>' not specified; --weights DEFAULT downloads torchvision's\n",
    );
  });
});

describe("completion", () => {
  const completions: [words: string[], found: string[]][] = [
    [["c"], commandNames.filter((name) => name.startsWith("c"))],
    [
      ["check", "--arch", "vgg16"],
      ["vgg16", "vgg16_bn"],
    ],
    [["check", "--num"], ["--num-classes"]],
    [["classify", "--weights", ""], []],
    [["classify", "--$(touch nothing)"], []],
    [["--$(touch nothing)", "--`touch nothing`"], []],
  ];

  /** The script of each shell. */
  const scripts = new Map<string, string>();
  function scriptFor(shell: string): string {
    const script = scripts.get(shell) ?? vgg(["completion", shell]).stdout;
    scripts.set(shell, script);
    return script;
  }

  const bash = (words: string[]) =>
    spawnSync(
      "bash",
      [
        "--norc",
        "-c",
        // biome-ignore lint/suspicious/noTemplateCurlyInString: it is bash's
        'eval "$1"; shift; COMP_WORDS=(vgg "$@"); COMP_CWORD=$#; _vgg; printf "%s\\n" "${COMPREPLY[@]}"',
        "bash",
        scriptFor("bash"),
        ...words,
      ],
      { encoding: "utf8" },
    );

  it.runIf(hasShell("bash")).each(completions)("in bash of %j", (words, found) => {
    const { stdout, stderr } = bash(words);
    expect([stdout.split("\n").filter((line) => line !== ""), stderr]).toEqual([found, ""]);
  });

  it.runIf(hasShell("fish")).each(completions.slice(0, 3))("in fish of %j", (words, found) => {
    const line = ["vgg", ...words].join(" ");
    const code = `${scriptFor("fish")}\ncomplete -C ${JSON.stringify(line)}`;
    const { stdout } = spawnSync("fish", ["--no-config", "-c", code], { encoding: "utf8" });
    const values = stdout.split("\n").flatMap((each) => each.split("\t")[0] || []);
    expect(values.toSorted()).toEqual(found.toSorted());
  });

  it.runIf(hasShell("zsh")).each(completions)("in zsh of %j", (words, found) => {
    // The functions of zsh's completion system are replaced, because they work only while a user types.
    const code =
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is zsh's
      'compdef() {}; compadd() { shift; print -l -- ${(M)@:#$words[CURRENT]*}; }; _files() {}; eval "$1"; shift; words=(vgg "$@"); CURRENT=$#words; _vgg';
    const text = scriptFor("zsh");
    const { stdout, stderr } = spawnSync("zsh", ["-f", "-c", code, "zsh", text, ...words], {
      encoding: "utf8",
    });
    expect([stdout.split("\n").filter((line) => line !== ""), stderr]).toEqual([found, ""]);
  });

  it("knows every command and option", () => {
    for (const shell of ["bash", "zsh", "fish"]) {
      expect(scriptFor(shell)).toContain("doctor");
      expect(scriptFor(shell)).toContain("image-size");
    }
    expect(vgg(["completion", "tcsh"]).status).toBe(2);
  });
});
