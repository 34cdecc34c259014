// Keys and signals end long commands on a terminal at once, and leave the terminal as it was.
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { listen } from "../support/file-server.ts";
import { writeNetwork, writeZeros } from "../support/zeros.ts";

const fileOf = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const main = fileOf("../../dist/cli/main.js");
const scratch = mkdtempSync(join(tmpdir(), "vgg-terminal-"));
const images = join(scratch, "images");
const weights = join(scratch, "zeros.safetensors");
const large = join(scratch, "large.safetensors");
const server = createServer((_, response) => void response.write("silence follows"));
let mirror = "";
let close = async () => {};

beforeAll(async () => {
  for (const folder of ["0", "1"]) {
    mkdirSync(join(images, folder), { recursive: true });
    for (let i = 0; i < 3000; i++)
      symlinkSync(fileOf("../golden/images/landscape.png"), join(images, folder, `${i}.png`));
  }
  writeNetwork(weights, [0, 0]);
  writeZeros(
    large,
    Array.from({ length: 60 }, (_, i) => [`t${i}`, [16, 2 ** 20]]),
  );
  // This CMake never ends, for `vgg build`.
  mkdirSync(join(scratch, "bin"));
  const cmake = '#!/bin/sh\n[ "$1" = --version ] && { echo cmake version 3.25.1; exit; }\n';
  writeFileSync(join(scratch, "bin", "cmake"), `${cmake}echo it builds\nsleep 600\n`, {
    mode: 0o755,
  });
  ({ url: mirror, close } = await listen(server));
});
afterAll(async () => {
  await close();
  rmSync(scratch, { recursive: true });
});

/** A shell on its own terminal. */
class Terminal {
  text = "";
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<void>;
  #changed = () => {};

  constructor(lines: readonly string[]) {
    const script = `stty cols 100 rows 30; ulimit -c 0; ${lines.join("; ")}`;
    this.#child = spawn("script", ["-qec", script, "/dev/null"], {
      cwd: scratch,
      env: {
        ...process.env,
        SHELL: "/bin/sh",
        TERM: "xterm",
        CI: "true", // it must not change what a terminal shows
        PATH: `${join(scratch, "bin")}:${process.env.PATH}`,
        XDG_CACHE_HOME: join(scratch, "cache"),
        NO_PROXY: "127.0.0.1",
        no_proxy: "127.0.0.1",
      },
    });
    this.#child.stdout.on("data", (text) => {
      this.text += text;
      this.#changed();
    });
    this.#ended = new Promise((resolve) => this.#child.on("close", () => resolve()));
  }

  type(keys: string): void {
    this.#child.stdin.write(keys);
  }

  /** Waits for a pattern on the terminal and returns what it finds. @throws after the time limit */
  async see(pattern: RegExp, withinMs = 60_000): Promise<RegExpExecArray> {
    const start = performance.now();
    for (;;) {
      const match = pattern.exec(this.text);
      if (match !== null) return match;
      const restMs = start + withinMs - performance.now();
      if (restMs <= 0) throw new Error(`Expected ${pattern} but the terminal has ${this.text}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, restMs);
        this.#changed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  end(): Promise<void> {
    this.#child.kill("SIGKILL");
    return this.#ended;
  }
}

const network = `--weights ${weights} --image-size 32 --device cpu`;
const bench = "bench --device cpu --hidden-features 64 --batch 64 --warmup 9 --iterations 99";
// For each command: its arguments, and the output that shows that it is at work, or the milliseconds after which it is.
const commands: Record<string, [args: string, atWork: RegExp | number]> = {
  classify: [`classify ${images} ${network} --format csv`, /\d of 6000 images/],
  validate: [`validate ${images} ${network}`, /\d of 6000 images/],
  "bench, in a forward": [bench, /1 of \d+ measurements/],
  convert: [`convert ${large} ${join(scratch, "out.pth")}`, 1000],
  pull: ["pull vgg11 --mirror MIRROR", /vgg11-8a719046.pth/],
  build: ["build", /it builds/],
  check: ["check --arch vgg19_bn --device cpu", 600],
};

let terminal: Terminal;
afterEach(() => terminal.end());

/** Starts a command. Its shell prints how it ended, and the terminal's settings before and after. */
async function start(args: string, atWork: RegExp | number, before = ""): Promise<void> {
  const vgg = `${process.execPath} ${main} ${args.replace("MIRROR", mirror)}`;
  terminal = new Terminal(
    [
      ...["trap : INT QUIT", 'echo "BEFORE $(stty -g)"', before],
      `sh -c 'echo "PID $$"; exec ${vgg}'`,
      'echo "ENDED $?"; echo "AFTER $(stty -g)"',
    ].filter((line) => line !== ""),
  );
  await terminal.see(/PID \d+/);
  if (typeof atWork === "number") await new Promise((resolve) => setTimeout(resolve, atWork));
  else await terminal.see(atWork);
}

/** Far less time than the commands take, yet enough for a busy machine. */
const soonMs = 5_000;

async function expectEnd(status: number): Promise<void> {
  expect((await terminal.see(/ENDED (\d+)/, soonMs))[1]).toBe(String(status));
  const [, after] = await terminal.see(/AFTER (\S+)/);
  expect(after).toBe(/BEFORE (\S+)/.exec(terminal.text)![1]);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the sequences that hide and show the cursor
  expect(terminal.text.match(/\u001b\[\?25[hl]/g)?.at(-1) ?? "\u001b[?25h").toBe("\u001b[?25h");
}

const hasScript = spawnSync("script", ["--version"]).status === 0;
if (!hasScript)
  console.log("util-linux's `script` is missing: commands on a terminal are not tested");

describe.runIf(hasScript)("on a terminal", () => {
  it.each(Object.entries(commands))("Ctrl-C ends vgg %s at once", async (_, [args, atWork]) => {
    await start(args, atWork);
    terminal.type("\x03");
    await expectEnd(130);
  });

  it("Ctrl-\\ ends a command at once", async () => {
    await start(...commands.classify!);
    terminal.type("\x1c");
    await expectEnd(131);
  });

  it.each([
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("%s ends a command at once", async (signal, status) => {
    await start(...commands.classify!);
    process.kill(Number(/PID (\d+)/.exec(terminal.text)![1]), signal);
    await expectEnd(status);
  });

  it("progress and results stay apart if stdout is a pipe to the same screen", async () => {
    const args = `classify ${join(images, "0")} ${network} --top 1`;
    // The reader waits longer than progress does. The writer waits for it once the pipe is full.
    const pipe = `${process.execPath} ${main} ${args} | (sleep 6; head -2000)`;
    terminal = new Terminal([pipe, "echo ENDED"]);
    await terminal.see(/\d+ of 3000 images, .* s left\r\n/);
    await terminal.see(/ENDED/);
    // The line of the weights is cleared before the first image, and the cursor is shown again. ora shows it once more
    // at the end of the process.
    const [hide, show] = ["\u001b[?25l", "\u001b[?25h"];
    expect(terminal.text.startsWith(hide)).toBe(true);
    const text = terminal.text.slice(terminal.text.indexOf(show)).replaceAll(show, "");
    for (const line of text.trimEnd().split("\r\n"))
      expect(line).toMatch(
        /^(\/.*\.png +[\d.]+ % {2}0 \(0\)|\d+ of 3000 images, .* s left|ENDED)$/,
      );
  });

  it("--quiet shows no progress", async () => {
    const args = `classify ${join(images, "0", "1.png")} ${network} --top 1 --quiet`;
    terminal = new Terminal([`${process.execPath} ${main} ${args}`, "echo ENDED"]);
    await terminal.see(/ENDED/);
    expect(terminal.text).toMatch(/^\S+1\.png\r\n +50\.00 % {2}0 \(0\)\r\nENDED\r\n$/);
  });

  it("Ctrl-Z stops a command, which then continues in the foreground", async () => {
    await start(...commands.classify!, "set -m");
    terminal.type("\x1a");
    expect((await terminal.see(/ENDED (\d+)/, soonMs))[1]).toBe("148");
    const pid = Number(/PID (\d+)/.exec(terminal.text)![1]);
    process.kill(pid, "SIGCONT");
    const seen = terminal.text.length;
    for (let waited = 0; waited < soonMs && terminal.text.length === seen; waited += 50)
      await new Promise((resolve) => setTimeout(resolve, 50));
    expect(terminal.text.slice(seen)).not.toBe("");
    process.kill(pid, "SIGKILL");
  });
});
