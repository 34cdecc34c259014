// What npm/run/compare.mjs accepts as the same result on two platforms, what it refuses, and the table that it prints.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const file = join(fileURLToPath(new URL("../../..", import.meta.url)), "npm/run/compare.mjs");
/** Absent in the bundle for GPU servers. */
const hasTools = existsSync(file);
const { compare, relativeDifference, table } = hasTools ? await import(file) : ({} as never);

const file1 = { package: { name: "@vgg-cudnn/a", version: "1.0.0" }, sha256: "12" };
const findings = {
  smoke: {
    instructionSet: "avx512",
    randn: "r",
    image: "i",
    float32: [1, -2, 0.5],
    float16: [1, -2, 0.5],
    workers: [0, 0],
    errors: ["CHECKPOINT_UNREADABLE", "MISSING_PARAMETER"],
  },
  check: { outputShape: [1, 1000] },
  classify: [
    { index: 3, probability: 0.75 },
    { index: 1, probability: 0.25 },
  ],
  doctor: file1,
  file: file1,
};
const changed = (smoke: object, rest: object = {}) => ({
  ...findings,
  smoke: { ...findings.smoke, ...smoke },
  ...rest,
});

describe.runIf(hasTools)("the comparison of two platforms", () => {
  it("accepts equal results", () => {
    const { cells, problems } = compare(findings, findings);
    expect(problems).toEqual([]);
    expect(new Set(Object.values(cells))).toEqual(new Set(["same"]));
  });

  it("accepts logits of another instruction set within 1e-5 of the largest, and says how near they are", () => {
    const near = { instructionSet: "neon", float32: [1, -2, 0.50001], float16: [1, -2.00001, 0.5] };
    const { cells, problems } = compare(findings, changed(near));
    expect(problems).toEqual([]);
    expect(cells).toMatchObject({ float32: "5.0e-6", float16: "5.0e-6", randn: "same" });
    const far = changed({ instructionSet: "neon", float32: [1, -2, 0.50003] });
    expect(compare(findings, far).problems).toEqual([
      "float32: Expected a difference of at most 0.00001 but it is 1.5e-5",
    ]);
  });

  it("refuses any difference of logits with the same instruction set", () => {
    const { cells, problems } = compare(findings, changed({ float16: [1, -2, 0.5000001] }));
    expect(cells.float16).toBe("5.0e-8 !");
    expect(problems).toEqual(["float16: Expected a difference of at most 0 but it is 5.0e-8"]);
  });

  it.each(["randn", "image"])("refuses another digest of %s with any instruction set", (name) => {
    const { problems } = compare(findings, changed({ instructionSet: "neon", [name]: "x" }));
    expect(problems).toEqual([expect.stringMatching(`^${name}: Expected ".*" but received "x"$`)]);
  });

  it("refuses a worker that fails, and an error of another kind", () => {
    const { problems } = compare(findings, changed({ workers: [0, 1], errors: ["INTERNAL"] }));
    expect(problems).toEqual([
      "worker exits: Expected [0,0] but received [0,1]",
      expect.stringMatching(/^errors: Expected \[.*\] but received \["INTERNAL"\]$/),
    ]);
  });

  it("refuses other classes, far probabilities, another shape and another file", () => {
    const problemsOf = (rest: object) =>
      compare(findings, changed({ instructionSet: "neon" }, rest)).problems;
    const [best, second] = findings.classify;
    expect(problemsOf({ classify: [second, best] })).toEqual([expect.stringMatching(/^classify/)]);
    expect(problemsOf({ classify: [best, { ...second, probability: 0.2501 }] })).toHaveLength(1);
    expect(problemsOf({ classify: [best, { ...second, probability: 0.250001 }] })).toEqual([]);
    expect(problemsOf({ check: { outputShape: [1] } })).toHaveLength(1);
    expect(problemsOf({ doctor: { ...file1, sha256: "13" } })).toEqual([
      expect.stringMatching(/^doctor/),
    ]);
  });

  it("refuses numbers that are not finite, on both sides as well, and lists of other lengths", () => {
    expect(relativeDifference([1, null], [1, null])).toBeNaN();
    expect(relativeDifference([1], [1, 2])).toBeNaN();
    expect(relativeDifference([1], undefined)).toBeNaN();
    expect(relativeDifference([0, 0], [0, 0])).toBe(0);
    const broken = changed({ float32: [null, null, null] });
    expect(compare(broken, broken).problems).toHaveLength(1);
  });
});

describe.runIf(hasTools)("the table", () => {
  it("has aligned columns, and a dash for what a row lacks", () => {
    const rows = [
      { platform: "a", randn: "same", seconds: "7" },
      { platform: "longer", randn: "FAILED" },
    ];
    expect(table(rows).split("\n")).toEqual([
      "platform  randn   seconds",
      "a         same    7",
      "longer    FAILED  -",
    ]);
  });
});
