// GraphBuilder: the rows that it records, and the shapes and names that it refuses.
import { describe, expect, it } from "vitest";
import { GraphBuilder } from "../../lib/index.ts";

describe("GraphBuilder", () => {
  it("records rows as plain data", () => {
    const builder = new GraphBuilder();
    const image = builder.input("image", [3, 8, 8]);
    const c = builder.conv2d(image, builder.parameter("w", [4, 3, 3, 3]), {
      bias: builder.parameter("b", [4]),
      padding: 1,
      relu: true,
    });
    const y = builder.gemm(builder.flatten(builder.maxPool2d(c)), builder.parameter("v", [2, 64]));
    const { values, indices } = builder.topK(builder.softmax(y), 1);
    const record = builder.finish({ values, indices });
    expect(JSON.parse(JSON.stringify(record))).toEqual(record);
    expect(record.rows).toMatchInlineSnapshot(`
      [
        {
          "bias": 1,
          "input": 0,
          "kind": "conv2d",
          "output": 1,
          "padding": 1,
          "relu": true,
          "stride": 1,
          "weight": 0,
        },
        {
          "input": 1,
          "kind": "maxPool2d",
          "output": 2,
          "padding": 0,
          "size": 2,
          "stride": 2,
        },
        {
          "input": 2,
          "kind": "flatten",
          "output": 3,
        },
        {
          "input": 3,
          "kind": "gemm",
          "output": 4,
          "relu": false,
          "weight": 2,
        },
        {
          "input": 4,
          "kind": "softmax",
          "output": 5,
        },
        {
          "indices": 7,
          "input": 5,
          "k": 1,
          "kind": "topK",
          "output": 6,
        },
      ]
    `);
    expect(record.values.map(({ shape }) => shape)).toEqual([
      [3, 8, 8],
      [4, 8, 8],
      [4, 4, 4],
      [64],
      [2],
      [2],
      [1],
      [1],
    ]);
    expect(record.outputs).toEqual({ values: 6, indices: 7 });
  });

  it("returns the same parameter for the same name", () => {
    const builder = new GraphBuilder();
    expect(builder.parameter("w", [2]).id).toBe(builder.parameter("w", [2]).id);
    expect(() => builder.parameter("w", [3])).toThrow(
      "Expected shape (2) for parameter w but received [3]",
    );
  });

  const g = new GraphBuilder();
  const image = g.input("image", [3, 8, 8]);
  const row = g.input("row", [10]);
  const pixels = g.input("pixels", [8, 8, 3], "uint8");
  const w = g.parameter("w", [4, 3, 3, 3]);
  const b = g.parameter("b", [4]);
  const other = new GraphBuilder().input("x", [3, 8, 8]);
  it.each([
    [
      "a weight with the wrong number of channels",
      () => g.conv2d(image, g.parameter("w5", [4, 5, 3, 3])),
      "Expected shape (K, 3, R, S) for weight w5 of conv2d but received [4, 5, 3, 3]",
    ],
    [
      "a weight of the wrong rank",
      () => g.conv2d(image, b),
      "Expected shape (K, 3, R, S) for weight b of conv2d but received [4]",
    ],
    [
      "a bias of the wrong length",
      () => g.conv2d(image, w, { bias: g.parameter("b5", [5]) }),
      "Expected shape (4) for bias b5 of conv2d but received [5]",
    ],
    [
      "an image smaller than the filter",
      () => g.conv2d(g.input("tiny", [3, 2, 2]), w),
      "Expected an image of at least 3 × 3 with its padding for input of conv2d but received [3, 2, 2]",
    ],
    [
      "rows instead of an image",
      () => g.conv2d(row, w),
      'Expected (N, C, H, W) for input of conv2d but received (N, 10) "float32"',
    ],
    [
      "an image instead of rows",
      () => g.gemm(image, g.parameter("v", [2, 192])),
      'Expected (N, F) for input of gemm but received (N, 3, 8, 8) "float32"',
    ],
    [
      "a weight with the wrong number of features",
      () => g.gemm(row, g.parameter("v9", [2, 9])),
      "Expected shape (O, 10) for weight v9 of gemm but received [2, 9]",
    ],
    [
      "uint8 pixels in a convolution",
      () => g.conv2d(pixels, w),
      'Expected float32 for input of conv2d but received "uint8"',
    ],
    [
      "a value of another graph",
      () => g.relu(other),
      "Expected a value of this graph for input of relu but received an instance of Value",
    ],
    [
      "a number instead of a value",
      () => g.relu(3 as never),
      "Expected a recorded value for input of relu but received 3",
    ],
    [
      "an unknown option",
      () => g.conv2d(image, w, { dilation: 2 } as never),
      'Expected only the options bias, stride, padding, relu, precise for options of conv2d but received "dilation"',
    ],
    [
      "a parameter instead of options",
      () => g.conv2d(image, w, b as never),
      "Expected an object for options of conv2d",
    ],
    [
      "a stride of 0",
      () => g.conv2d(image, w, { stride: 0 }),
      "Expected an integer from 1 to 65536 for stride of conv2d but received 0",
    ],
    [
      "a padding as wide as the filter",
      () => g.conv2d(image, w, { padding: 3 }),
      "Expected an integer from 0 to 2 for padding of conv2d but received 3",
    ],
    [
      "a padding of more than half a window",
      () => g.maxPool2d(image, { padding: 2 }),
      "Expected an integer from 0 to 1 for padding of maxPool2d but received 2",
    ],
    [
      "two means for three channels",
      () => g.normalize(image, { mean: [0, 0], std: [1, 1, 1] }),
      "Expected 3 finite numbers, one for each channel, for mean of normalize but received [0, 0]",
    ],
    [
      "a standard deviation of 0",
      () => g.normalize(image, { mean: [0, 0, 0], std: [1, 0, 1] }),
      "Expected numbers other than 0 for std of normalize but received [1, 0, 1]",
    ],
    [
      "a k above the number of features",
      () => g.topK(row, 11),
      "Expected an integer from 1 to 10 for k of topK but received 11",
    ],
    [
      "no output",
      () => g.finish({}),
      "Expected at least one output for outputs but received an object",
    ],
    [
      "an input as output",
      () => g.finish({ image }),
      'Expected a computed value for output image but received "an input"',
    ],
    [
      "a name already in use",
      () => g.input("row", [3]),
      'Expected a new name for input but there is an input "row" already',
    ],
    [
      "a zero dimension",
      () => g.input("zero", [0, 3, 3]),
      "Expected dimensions of at least 1 for the shape of input zero but received [0, 3, 3]",
    ],
    [
      "an epsilon of NaN",
      () =>
        g.batchNorm(image, {
          weight: g.parameter("c", [3]),
          bias: g.parameter("c", [3]),
          mean: g.parameter("c", [3]),
          variance: g.parameter("c", [3]),
          epsilon: Number.NaN,
        }),
      "Expected a number above 0 for epsilon of batchNorm but received NaN",
    ],
  ])("refuses %s", (_, record, message) => {
    expect(record).toThrow(message);
  });
});
