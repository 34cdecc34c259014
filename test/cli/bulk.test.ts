// `vgg classify` on long lists: shares, files of results that a killed run leaves, and images that fail for a while.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Attempts } from "../../lib/cli/classify/attempts.ts";
import { isInShard, parseShard } from "../../lib/cli/classify/shard.ts";
import { isTemporaryCode, isTemporaryStatus, mayPass } from "../../lib/image/temporary.ts";
import { writeNetwork } from "../support/zeros.ts";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const image = fileURLToPath(new URL("../golden/images/small.png", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "vgg-bulk-"));
const weights = join(scratch, "third.safetensors");
const network = ["--weights", weights, "--image-size", "32", "--device", "cpu", "--top", "1"];
const out = join(scratch, "out.ndjson");
const count = 150;
const names = Array.from({ length: count }, (_, i) => `images/${i}.png`);

function start(...args: string[]): ChildProcess {
  return spawn(process.execPath, [script, "classify", ...args, ...network], {
    cwd: scratch,
    stdio: "ignore",
  });
}

function classify(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [script, "classify", ...args, ...network],
    { encoding: "utf8", cwd: scratch },
  );
  return { status, stdout, stderr };
}

const lines = () => readFileSync(out, "utf8").split("\n").slice(0, -1);
const filesOf = (text: readonly string[]) => text.map((line) => JSON.parse(line).file as string);
const sizeOf = (path: string) => (existsSync(path) ? statSync(path).size : 0);

beforeAll(() => {
  writeNetwork(weights, [0, 0, 100, 0]);
  mkdirSync(join(scratch, "images"));
  for (const name of names) copyFileSync(image, join(scratch, name));
  writeFileSync(join(scratch, "list"), names.join("\n"));
});
beforeEach(() => rmSync(out, { force: true }));
afterAll(() => rmSync(scratch, { recursive: true }));

describe("vgg classify --resume", () => {
  it("writes each image once, however often it is killed", { timeout: 120_000 }, async () => {
    for (let kills = 0, size = 0; kills < 3; kills++) {
      const child = start("--list", "list", "--resume", out, "--batch-size", "4");
      const end = once(child, "exit");
      while (sizeOf(out) <= size && child.exitCode === null) await delay(2);
      child.kill("SIGKILL");
      await end;
      size = sizeOf(out);
    }
    const before = lines().length;
    expect(before).toBeLessThan(count);
    const { status, stdout, stderr } = classify("--list", "list", "--resume", out);
    expect([status, stdout]).toEqual([0, ""]);
    expect(stderr).toContain(`vgg: ${before} of ${count} images are done`);
    expect(filesOf(lines()).sort()).toEqual([...names].sort());
    expect(existsSync(`${out}.lock`)).toBe(false);
  });

  it("removes the part of a line that a killed run left, and does its image again", () => {
    const three = ["a", "b", "a"].map((_, i) => names[i]!);
    expect(classify(...three, "--resume", out).status).toBe(0);
    const whole = readFileSync(out, "utf8");
    for (const cut of [1, 40]) {
      writeFileSync(out, whole.slice(0, -cut));
      expect(classify(...three, "--resume", out).status).toBe(0);
      expect(readFileSync(out, "utf8")).toBe(whole);
    }
  });

  it("counts each line once, so that repeats of a list are repeats of the file", () => {
    const [first, second] = names as [string, string];
    writeFileSync(join(scratch, "repeats"), `${first}\n${first}\n`);
    expect(classify("--list", "repeats", "--resume", out).status).toBe(0);
    appendFileSync(join(scratch, "repeats"), `${second}\n${first}\n`);
    expect(classify("--list", "repeats", "--resume", out).status).toBe(0);
    expect(filesOf(lines())).toEqual([first, first, second, first]);
  });

  it("keeps an error that lasts, and names with line ends of every kind", () => {
    const odd = join(scratch, "a\u2028b\rc.png");
    copyFileSync(image, odd);
    for (const status of [1, 0]) {
      expect(classify(odd, "gone.png", "--resume", out).status).toBe(status);
      expect(filesOf(lines())).toEqual([odd, "gone.png"]);
    }
    expect(JSON.parse(lines()[1]!).error.code).toBe("IMAGE_UNREADABLE");
  });

  it("refuses a file that has something else, and changes nothing in it", () => {
    for (const text of [
      "hello\n",
      "{}\n",
      '{"file":1,"predictions":[]}\n',
      "[\n",
      "\n",
      "null\n",
    ]) {
      writeFileSync(out, text);
      const { status, stderr } = classify(image, "--resume", out);
      expect(status).toBe(2);
      expect(stderr).toContain("Expected results of vgg classify in");
      expect(readFileSync(out, "utf8")).toBe(text);
    }
    const { status, stderr } = classify(image, "--resume", scratch);
    expect([status, stderr]).toEqual([2, expect.stringContaining("Expected a regular file")]);
    expect(classify(image, "--resume", join(scratch, "no/such/folder")).status).toBe(1);
  });

  it("refuses a second writer, and other formats", async () => {
    const child = start("--list", "list", "--resume", out, "--batch-size", "1");
    const end = once(child, "exit");
    while (sizeOf(out) === 0 && child.exitCode === null) await delay(2);
    const { status, stderr } = classify(image, "--resume", out);
    child.kill("SIGKILL");
    await end;
    expect([status, stderr]).toEqual([1, expect.stringContaining("another process writes to it")]);
    for (const format of [["--json"], ["--format", "csv"]])
      expect(classify(image, "--resume", out, ...format).status).toBe(2);
  });
});

describe("vgg classify --shard", () => {
  it("gives each image to one share, in the order of the list", () => {
    const parts = [1, 2, 3].map((index) => {
      const { status, stdout } = classify(
        "--list",
        "list",
        "--shard",
        `${index}/3`,
        "--format",
        "ndjson",
      );
      expect(status).toBe(0);
      return filesOf(stdout.split("\n").slice(0, -1));
    });
    expect(parts.flat().sort()).toEqual([...names].sort());
    for (const part of parts) {
      expect(part.length).toBeGreaterThan(count / 5);
      expect(part).toEqual(names.filter((name) => part.includes(name)));
    }
  });

  it("depends on the name alone", () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 65_536 }), (name, shares) => {
        const of = (index: number) => isInShard(name, { index, count: shares });
        const mine = Array.from({ length: Math.min(shares, 50) }, (_, i) => of(i));
        expect(mine.filter(Boolean).length).toBeLessThanOrEqual(1);
        if (shares <= 50) expect(mine.filter(Boolean)).toHaveLength(1);
      }),
    );
    // The same on every machine: other machines work on the other shares.
    const shareOf = (name: string) =>
      Array.from({ length: 16 }, (_, i) => i).find((index) =>
        isInShard(name, { index, count: 16 }),
      );
    expect(["a.jpg", "b.jpg", "é.jpg"].map(shareOf)).toEqual([6, 4, 2]);
  });

  it("takes no other form", () => {
    for (const text of ["", "3", "0/3", "4/3", "1/0", "1/65537", "1/3/5", "-1/3", "1.5/3", "a/b"])
      expect(() => parseShard(text)).toThrow(RangeError);
    expect(parseShard("3/16")).toEqual({ index: 2, count: 16 });
  });
});

describe("vgg classify --retries", () => {
  let server: Server;
  let base: string;
  const asked = new Map<string, number>();
  beforeAll(async () => {
    server = createServer((request, response) => {
      const [, status, failures] = /^\/(\d+)\/(\d+)$/.exec(request.url!)!;
      const times = (asked.get(request.url!) ?? 0) + 1;
      asked.set(request.url!, times);
      if (times > Number(failures)) response.end(readFileSync(image));
      else if (status === "0") response.destroy();
      else response.writeHead(Number(status)).end();
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => void server.close());

  /** Runs a command while the server of this process answers. */
  async function run(...args: string[]) {
    const child = spawn(process.execPath, [script, "classify", ...args, ...network], {
      cwd: scratch,
    });
    let stdout = "";
    child.stdout.on("data", (text) => {
      stdout += text;
    });
    const [status] = await once(child, "close");
    return { status, stdout };
  }

  it("tries again after failures that may pass, and no other", { timeout: 60_000 }, async () => {
    const urls = ["503/1", "0/1", "404/1", "429/2"].map((path) => `${base}/${path}`);
    const { status, stdout } = await run(...urls, "--retries", "1", "--format", "ndjson");
    expect(status).toBe(1);
    const results = stdout
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line));
    expect(
      results.map(({ file, error }) => [file.slice(base.length), error?.code ?? "ok"]).sort(),
    ).toEqual([
      ["/0/1", "ok"],
      ["/404/1", "IMAGE_UNREADABLE"],
      ["/429/2", "IMAGE_UNREADABLE"],
      ["/503/1", "ok"],
    ]);
    expect(asked.get("/404/1")).toBe(1);
    expect(asked.get("/429/2")).toBe(2);
  });

  it("leaves what may pass out of the file, so that the next run does it", async () => {
    const url = `${base}/500/1`;
    expect((await run(url, image, "--resume", out)).status).toBe(1);
    expect(filesOf(lines())).toEqual([image]);
    expect((await run(url, image, "--resume", out)).status).toBe(0);
    expect(filesOf(lines())).toEqual([image, url]);
  });

  it("names the statuses and codes that may pass", () => {
    const statuses = [400, 401, 403, 404, 408, 410, 425, 429, 500, 502, 503, 504];
    expect(statuses.filter(isTemporaryStatus)).toEqual([408, 425, 429, 500, 502, 503, 504]);
    const codes = [
      "ENOENT",
      "EACCES",
      "ENOTFOUND",
      "CERT_HAS_EXPIRED",
      "EMFILE",
      "ECONNRESET",
      "EAI_AGAIN",
    ];
    expect(codes.filter(isTemporaryCode)).toEqual(["EMFILE", "ECONNRESET", "EAI_AGAIN"]);
    expect(isTemporaryCode("UND_ERR_SOCKET")).toBe(true);
  });
});

describe("Attempts", () => {
  it("ends when each image has a final result, for any failures", async () => {
    const cases = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(cases, fc.integer({ min: 0, max: 3 }), async (failures, retries) => {
        const attempts = new Attempts(
          failures.map((_, i) => String(i)),
          retries,
          0,
        );
        const left = [...failures];
        const final: string[] = [];
        for await (const name of attempts.files()) {
          const error = left[Number(name)]!-- > 0 ? mayPass(new Error("busy")) : null;
          const { file, isFinal, mayPass: again } = attempts.settle(error);
          expect(file).toBe(name);
          if (!isFinal) continue;
          final.push(name);
          expect(again).toBe(failures[Number(name)]! > retries);
        }
        expect(final.sort()).toEqual(failures.map((_, i) => String(i)).sort());
      }),
      { numRuns: 50 },
    );
  });
});
