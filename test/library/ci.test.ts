import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const run = (...names: string[]) => spawnSync(".ci/run", names, { encoding: "utf8" });
const listed = () =>
  run("--list")
    .stdout.trim()
    .split("\n")
    .map((line) => line.split(" ")[0]);

test("an unknown step is refused before anything runs", () => {
  const { status, stdout, stderr } = run("lint", "nonsense");
  expect([status, stdout]).toEqual([2, ""]);
  expect(stderr).toContain("unknown step: nonsense");
});

test("the workflow and docs/ci.md name exactly the steps of --list", () => {
  const steps = listed();
  expect(steps).toContain("lint");
  const docs = [...readFileSync("docs/ci.md", "utf8").matchAll(/^\| `([^`]+)`/gm)].map(
    (match) => match[1],
  );
  expect(docs).toEqual(steps);
  const workflow = readFileSync(".github/workflows/ci.yml", "utf8");
  const called = [...workflow.matchAll(/run: \.ci\/run (.+)$/gm)].flatMap((match) =>
    match[1]?.split(" "),
  );
  expect(called.sort()).toEqual(steps.sort());
});
