// The log: its lines, its bounds, and disks and pipes that fail.
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { logRequest, openLog } from "../../lib/observe/log.ts";
import { LogFile } from "../../lib/observe/log-file.ts";
import { recordOf } from "./records.ts";

let folder = "";
let file = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "vgg-log-"));
  file = join(folder, "requests.ndjson");
});
afterEach(() => rmSync(folder, { recursive: true }));

const linesOf = (path: string) =>
  readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

describe("the line of a request", () => {
  it("says what was asked, how it ended and how long each stage took", async () => {
    const log = openLog({ file });
    const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
    logRequest(log, recordOf({ id: "7", protocol: "grpc", bytes: 81_653, traceparent }));
    await log.close();
    expect(linesOf(file)).toEqual([
      {
        level: "info",
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
        kind: "infer",
        protocol: "grpc",
        status: 200,
        outcome: "SUCCESS",
        id: "7",
        traceId: "a".repeat(32),
        model: "vgg11",
        version: "1",
        images: 1,
        batchSizes: [1],
        totalMs: 20,
        decodeMs: 3,
        queueMs: 5,
        runMs: 10,
        bytes: 81_653,
        client: "127.0.0.1",
      },
    ]);
  });

  it("cuts what a client chose, and stays one line", async () => {
    const log = openLog({ file });
    const long = "x\n".repeat(100_000);
    logRequest(log, recordOf({ id: long, model: long, message: long, client: long }));
    await log.close();
    expect(statSync(file).size).toBeLessThan(4000);
    expect(linesOf(file)).toHaveLength(1);
  });

  it("has the level of its status", async () => {
    const log = openLog({ file, level: "warn" });
    for (const status of [200, 400, 499, 500, 503, 504]) logRequest(log, recordOf({ status }));
    await log.close();
    expect(linesOf(file).map(({ level, status }) => [level, status])).toEqual([
      ["error", 500],
      ["warn", 503],
      ["warn", 504],
    ]);
  });
});

describe("a log file", () => {
  const settings = (changes: object = {}) => {
    const problems: string[] = [];
    return {
      problems,
      destination: file,
      maxBytes: 1 << 20,
      maxWaitingBytes: 1 << 20,
      onProblem: (message: string) => void problems.push(message),
      ...changes,
    };
  };

  it("is replaced at its limit, and the one before is kept", async () => {
    const log = new LogFile(settings({ maxBytes: 1000 }));
    for (let line = 0; line < 50; line += 1) {
      log.write(`{"line":${line},"text":"${"x".repeat(80)}"}\n`);
      await new Promise(setImmediate);
      await new Promise(setImmediate);
    }
    await log.close();
    const written = [...linesOf(`${file}.1`), ...linesOf(file)].map(({ line }) => line);
    expect(written).toEqual([...written].sort((a, b) => a - b));
    expect(written.at(-1)).toBe(49);
    expect(statSync(`${file}.1`).size).toBeLessThan(1200);
    expect(log.droppedLines).toBe(0);
  });

  it("goes on after the lines that are there", async () => {
    for (const line of ["1", "2"]) {
      const log = new LogFile(settings());
      log.write(`${line}\n`);
      await log.close();
    }
    expect(readFileSync(file, "utf8")).toBe("1\n2\n");
  });

  it("drops and counts lines beyond the bound on its memory", async () => {
    const given = settings({ maxWaitingBytes: 100 });
    const log = new LogFile(given);
    for (let line = 0; line < 30; line += 1) log.write(`${"x".repeat(9)}\n`);
    expect(log.droppedLines).toBe(20);
    await log.close();
    expect(readFileSync(file, "utf8")).toHaveLength(100);
    expect(given.problems[0]).toMatch(/^Lines of the log are dropped/);
  });

  it.skipIf(!existsSync("/dev/full"))(
    "drops lines while the disk is full, says so once, and ends",
    async () => {
      const given = settings({ destination: "/dev/full" });
      const log = new LogFile(given);
      for (let line = 0; line < 100; line += 1) {
        log.write("{}\n");
        await new Promise(setImmediate);
      }
      await log.close();
      expect(log.droppedLines).toBe(100);
      expect(given.problems).toEqual(["Lines of the log are dropped: ENOSPC"]);
      log.write("after the end\n");
      expect(log.droppedLines).toBe(101);
    },
  );

  it("of a folder that is not there is an error at once", () => {
    expect(() => new LogFile(settings({ destination: join(folder, "no", "file") }))).toThrow(
      /ENOENT/,
    );
  });
});

describe("a process that logs", () => {
  // The compiled module: Node 20 runs no TypeScript.
  const module = new URL("../../dist/observe/log.js", import.meta.url);
  const run = (script: string, redirection: string) =>
    promisify(execFile)(
      "sh",
      ["-c", `"$0" --input-type=module -e "$1" ${redirection}`, process.execPath, script],
      { timeout: 60_000 },
    );
  const opened = `const { openLog } = await import("${module}"); const log = openLog();`;

  it("writes its last lines at its end", async () => {
    const { stdout } = await run(`${opened} log.info({ last: 1 }); process.exit(0);`, "");
    expect(JSON.parse(stdout)).toMatchObject({ level: "info", last: 1 });
  });

  it.skipIf(!existsSync("/dev/full"))("ends although its output is full", async () => {
    const script = `${opened} log.info({}); process.on("exit", () => log.info({}));`;
    const { stderr } = await run(script, "> /dev/full");
    expect(stderr).toContain("ENOSPC");
  });

  it("goes on although nobody reads its output", async () => {
    const script = `${opened}
      const timer = setInterval(() => log.info({ text: "x".repeat(1000) }), 1);
      setTimeout(() => { clearInterval(timer); console.error(log.droppedLines > 0); }, 500);`;
    const { stderr } = await run(script, "| true");
    expect(stderr).toMatch(/EPIPE[\s\S]*true/);
  });
});
