// Triton's classification: the order of classes, and values as C++ writes them.
import fc from "fast-check";
import { expect, it } from "vitest";
import { classificationOf, decimal } from "../../lib/protocol/classification.ts";

const texts = (values: number[], classes: number, top: number, labels?: string[]) =>
  classificationOf(Float32Array.from(values), classes, top, labels).map(String);

it("gives the best classes of each row, the greatest first", () => {
  const values = [0.25, 0.5, 0.125, 1, 3, 2];
  expect(texts(values, 3, 2)).toEqual(["0.500000:1", "0.250000:0", "3.000000:1", "2.000000:2"]);
  expect(texts(values, 3, 1, ["ant", "bée", "cat"])).toEqual(["0.500000:1:bée", "3.000000:1:bée"]);
  expect(texts(values, 3, 2, ["ant"])).toEqual([
    "0.500000:1",
    "0.250000:0:ant",
    "3.000000:1",
    "2.000000:2",
  ]);
});

it("keeps the order of equal classes, and puts NaN last", () => {
  const infinity = Number.POSITIVE_INFINITY;
  expect(texts([1, 2, 2, 1], 4, 4)).toEqual(
    [2, 2, 1, 1].map((value, rank) => `${value}.000000:${[1, 2, 0, 3][rank]}`),
  );
  expect(texts([Number.NaN, -infinity, 0, infinity, Number.NaN], 5, 5)).toEqual([
    "inf:3",
    "0.000000:2",
    "-inf:1",
    "nan:0",
    "nan:4",
  ]);
});

it("sorts any values", () => {
  const number = fc.float({ noNaN: true, noDefaultInfinity: true });
  fc.assert(
    fc.property(fc.array(number, { minLength: 1, maxLength: 40 }), (values) => {
      const indices = texts(values, values.length, values.length).map((t) =>
        Number(t.split(":")[1]),
      );
      const sorted = indices.map((index) => values[index]!);
      expect(sorted.every((value, i) => i === 0 || sorted[i - 1]! >= value)).toBe(true);
      expect(new Set(indices).size).toBe(values.length);
    }),
  );
});

it("writes numbers as std::to_string does", () => {
  // By printf("%f") of glibc 2.36.
  const written: [number, string][] = [
    [0, "0.000000"],
    [-0, "-0.000000"],
    [-1e-9, "-0.000000"],
    [0.1, "0.100000"],
    [0.9999999, "1.000000"],
    [1 / 128, "0.007812"],
    [3 / 128, "0.023438"],
    [-5 / 128, "-0.039062"],
    [65535 + 1 / 128, "65535.007812"],
    [2 ** 70, "1180591620717411303424.000000"],
    [-(2 ** 100), "-1267650600228229401496703205376.000000"],
  ];
  for (const [value, text] of written) expect(decimal(value)).toBe(text);
});
