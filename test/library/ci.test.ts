// What .ci/run runs and counts, with small lists of steps, and whether the workflow and docs/ci.md have the same steps.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { folders } from "../../vitest.config.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");
/** Absent in the bundle for GPU servers. */
const hasCi = existsSync(join(root, ".ci/run"));
const scratch = mkdtempSync(join(tmpdir(), "vgg-ci-"));
afterAll(() => rmSync(scratch, { recursive: true }));

function ci(names: string[], env: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = spawnSync(join(root, ".ci/run"), names, {
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  const lines = stdout.trimEnd().split("\n");
  return { status, stderr, stdout, lines: lines.map((line) => line.replace(/ \d+ s$/, " N s")) };
}

/** Runs steps of a small list whose commands are shell functions. */
function runOf(steps: string, functions: string, ...names: string[]) {
  const path = join(scratch, "steps.sh");
  writeFileSync(path, `steps='${steps}'\n${functions}\n`);
  return ci(names, { VGG_CI_STEPS: path });
}

/** A report on one file, as vitest writes it. */
function report(tests: Record<string, string>, status = "passed", message = "") {
  const assertionResults = Object.entries(tests).map(([fullName, state]) => ({
    fullName: ` ${fullName}`,
    status: state,
  }));
  const name = join(root, "test/a.test.ts");
  return JSON.stringify({ testResults: [{ name, status, message, assertionResults }] });
}

describe.runIf(hasCi)(".ci/run", () => {
  it("runs all steps in order, and prints the counts at the end", () => {
    const { status, lines } = runOf("one | | echo first | a\ntwo | one | echo second | b", "");
    expect(lines).toEqual([
      "=== one: echo first",
      "first",
      "=== one: passed in N s",
      "=== two: echo second",
      "second",
      "=== two: passed in N s",
      "2 passed, 0 failed",
    ]);
    expect(status).toBe(0);
  });

  it("runs what a named step needs before it, once, unless an earlier run has produced it", () => {
    const steps =
      "one-a | | echo 1 | a\ntwo | one-a | echo 2 | b\nthree | one-a two | echo 3 | c\nfour | | echo 4 | d";
    const order = (functions: string, ...names: string[]) =>
      runOf(steps, functions, ...names).lines.filter((line) => /^\d$/.test(line));
    expect(order("", "three")).toEqual(["1", "2", "3"]);
    expect(order("", "two", "three", "two")).toEqual(["1", "2", "3"]);
    expect(order("has_one_a() { true; }", "three")).toEqual(["2", "3"]);
    expect(order("has_one_a() { true; }", "one-a", "three")).toEqual(["1", "2", "3"]);
  });

  it("deletes a step's temporary files when it ends", () => {
    const steps = "one | | one | a\ntwo | | two | b";
    const { lines } = runOf(
      steps,
      'one() { touch "$TMPDIR/left"; echo "$TMPDIR"; }\ntwo() { ls -A "$TMPDIR"; }',
    );
    const folder = lines[1] as string;
    expect(lines.slice(2)).toEqual([
      "=== one: passed in N s",
      "=== two: two",
      "=== two: passed in N s",
      "2 passed, 0 failed",
    ]);
    expect(existsSync(folder)).toBe(false);
  });

  it("refuses a whole run if the disk has too little room, but not a step", () => {
    const steps = "one | | echo 1 | a";
    const { status, stdout, stderr } = runOf(steps, "disk_mib=1000000000");
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(
      /^\.ci\/run: a whole run needs 1000000000 MiB of disk and \d+ are free\n$/,
    );
    expect(runOf(steps, "disk_mib=1000000000", "one").status).toBe(0);
  });

  it("refuses an unknown step before anything runs, and lists the steps", () => {
    const { status, stdout, stderr } = runOf(
      "one | | echo 1 | a\ntwo | | echo 2 | b",
      "",
      "one",
      "on",
    );
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toBe(".ci/run: unknown step: on; the steps are one two\n");
  });

  it("continues after a failure, then lists what failed and ends with a nonzero status", () => {
    const { status, lines } = runOf(
      "dies | | dies | a\nfails | | false | b\nworks | | true | c",
      "dies() { bash -c 'kill -9 $$'; }",
    );
    expect(lines.slice(-3)).toEqual([
      "FAILED step dies (status 137)",
      "FAILED step fails (status 1)",
      "1 passed, 2 failed",
    ]);
    expect(status).toBe(1);
  });

  it("counts vitest's tests and native tests, and ignores an earlier step's report", () => {
    writeFileSync(join(scratch, "good.json"), report({ a: "passed", b: "passed", c: "skipped" }));
    writeFileSync(join(scratch, "bad.json"), report({ d: "passed", e: "failed" }, "failed"));
    const { status, lines } = runOf(
      "good | | good | a\nnone | | true | b\nnative | | native | c\nbad | | bad | d",
      `good() { cp "${scratch}/good.json" "$VGG_TEST_REPORT"; }
       native() { echo "7 passed, 2 failed"; echo "1 passed, 0 failed"; echo "not 5 passed, 5 failed"; }
       bad() { cp "${scratch}/good.json" "${scratch}/bad.json" "$VGG_TEST_REPORT"; return 1; }`,
    );
    expect(lines.slice(-4)).toEqual([
      "FAILED native: 2 native tests; see the log",
      "FAILED step bad (status 1)",
      "FAILED bad: test/a.test.ts: e",
      `${3 + 1 + 9 + 3} passed, ${2 + 2} failed`,
    ]);
    expect(status).toBe(1);
  });

  it("counts a file that vitest cannot import as a failure, although no test failed", () => {
    const folder = mkdtempSync(join(scratch, "vitest-"));
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    writeFileSync(join(folder, "good.test.ts"), 'it("works", () => {});');
    writeFileSync(join(folder, "bad.test.ts"), 'import "./missing.ts";');
    writeFileSync(
      join(folder, "vitest.config.ts"),
      `import { file, run } from "${root}vitest.config.ts";
       export default { test: { ...run, ...file, globals: true } };`,
    );
    const { status, lines } = runOf(
      "tests | | tests | a",
      `tests() { npx vitest run --root "${folder}"; }`,
    );
    expect(lines.at(-3)).toBe("FAILED step tests (status 1)");
    expect(lines.at(-2)).toMatch(/^FAILED tests: .*bad\.test\.ts: .*missing/);
    expect(lines.at(-1)).toBe("1 passed, 2 failed");
    expect(status).toBe(1);
  });
});

describe.runIf(hasCi)(".ci/report.mjs", () => {
  let reports: string;
  const log = join(scratch, "log");
  beforeEach(() => {
    reports = mkdtempSync(join(scratch, "reports-"));
    writeFileSync(log, "");
  });
  function counted(status = 0) {
    const args = [join(root, ".ci/report.mjs"), "step", String(status), reports, log];
    const result = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" });
    expect(result.stderr).toBe("");
    return result.stdout.trimEnd().split("\n");
  }

  it("counts a step without a report as one test", () => {
    expect(counted()).toEqual(["1 0"]);
    expect(counted(3)).toEqual(["0 1", "FAILED step step (status 3)"]);
  });

  it("adds up several reports, and counts failed tests even if the step's status is 0", () => {
    writeFileSync(join(reports, "1.json"), report({ a: "passed", b: "failed" }, "failed"));
    writeFileSync(join(reports, "2.json"), report({ c: "passed", d: "pending", e: "todo" }));
    expect(counted()).toEqual(["3 1", "FAILED step: test/a.test.ts: b"]);
  });

  it("counts a file that fails without a failed test as one failure", () => {
    const message = "Cannot find module x\n at y";
    writeFileSync(join(reports, "1.json"), report({ a: "skipped" }, "failed", message));
    expect(counted()).toEqual(["1 1", "FAILED step: test/a.test.ts: Cannot find module x"]);
  });

  it("counts a truncated report as one failure", () => {
    writeFileSync(join(reports, "1.json"), report({ a: "passed" }).slice(0, 40));
    const [counts, failure] = counted();
    expect(counts).toBe("1 1");
    expect(failure).toMatch(/^FAILED step: a report of vitest cannot be read: /);
  });
});

describe.runIf(hasCi)("the steps of CI", () => {
  const listed = () => ci(["--list"]).lines.map((line) => line.split(" ")[0]!);

  it("begin with README's two commands, and no step needs a later one", () => {
    const rows = [
      ...read(".ci/steps.sh").matchAll(/^([a-z0-9-]+) +\|([^|\n]*)\|[^|\n]*\|[^|\n]*$/gm),
    ];
    const steps = listed();
    expect(rows.map(([, name]) => name)).toEqual(steps);
    expect(steps.slice(0, 2)).toEqual(["setup", "test"]);
    for (const [, name, needs] of rows) {
      for (const need of needs!.split(" ").filter((word) => word !== "")) {
        expect(steps.indexOf(need), `${name} needs ${need}`).toBeGreaterThanOrEqual(0);
        expect(steps.indexOf(need), `${name} needs ${need}`).toBeLessThan(steps.indexOf(name!));
      }
    }
  });

  it("are in docs/ci.md, with budgets of at most 60 minutes in all", () => {
    const rows = [...read("docs/ci.md").matchAll(/^\| `([^`]+)` \|.*\| (\d+) \|$/gm)];
    expect(rows.map(([, name]) => name)).toEqual(listed());
    const seconds = rows.reduce((sum, [, , budget]) => sum + Number(budget), 0);
    expect(seconds).toBeLessThanOrEqual(60 * 60);
  });

  it("are each in the jobs of the workflow once", () => {
    const runs = read(".github/workflows/ci.yml").matchAll(/^ +- run: \.ci\/run (.+)$/gm);
    const called = [...runs].flatMap(([, names]) => names!.split(" "));
    expect(called.sort()).toEqual(listed().sort());
  });
});

describe("vitest's projects", () => {
  it("include every test file", () => {
    const files = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" });
    const found = files
      .filter((path) => path.endsWith(".test.ts"))
      .map((path) => path.split("/")[0]!);
    expect([...new Set(found)].sort()).toEqual([...folders].sort());
  });

  it.runIf(hasCi).each(["realms", "hostile", "order"])(
    "are absent from vitest.%s.config.ts, which lists only existing files",
    async (name) => {
      const config = await import(join(root, `vitest.${name}.config.ts`));
      const { include, projects } = config.default.test;
      expect(projects).toBeUndefined();
      expect(include.filter((path: string) => !existsSync(join(root, path)))).toEqual([]);
      expect(new Set(include).size).toBe(include.length);
    },
  );
});
