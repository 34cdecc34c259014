// The definition of each operation in plain TypeScript and float64: slow, short, and what every device must agree with.

/** Row-major numbers with a shape; the first dimension is the batch. */
export interface Numbers {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

export function numbers(shape: readonly number[], value: (...index: number[]) => number): Numbers {
  const data = new Float64Array(shape.reduce((a, b) => a * b, 1));
  const index = shape.map(() => 0);
  for (let i = 0; i < data.length; i++) {
    data[i] = value(...index);
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis]! === shape[axis]; axis--)
      index[axis] = 0;
  }
  return { shape, data };
}

/** The element at an index, 0 outside the image: the padding of a convolution. */
function at({ shape, data }: Numbers, ...index: number[]): number {
  let offset = 0;
  for (let axis = 0; axis < index.length; axis++) {
    const i = index[axis]!;
    if (i < 0 || i >= shape[axis]!) return 0;
    offset = offset * shape[axis]! + i;
  }
  return data[offset]!;
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}

// Math.max is NaN where an argument is: NaN stays.
const rectify = (x: number) => Math.max(x, 0);
const maximum = (xs: number[]) =>
  xs.reduce((a, b) => (b > a || Number.isNaN(b) ? b : a), Number.NEGATIVE_INFINITY);

export function conv2d(
  input: Numbers,
  weight: Numbers,
  options: { bias?: Numbers | undefined; stride?: number; padding?: number; relu?: boolean } = {},
): Numbers {
  const { bias, stride = 1, padding = 0, relu = false } = options;
  const [n, channels, height, width] = input.shape as [number, number, number, number];
  const [filters, , r, s] = weight.shape as [number, number, number, number];
  const out = (size: number, filter: number) =>
    Math.floor((size + 2 * padding - filter) / stride) + 1;
  return numbers([n, filters, out(height, r), out(width, s)], (b, k, y, x) => {
    let sum = bias === undefined ? 0 : at(bias, k!);
    for (let c = 0; c < channels; c++) {
      const plane = (b! * channels + c) * height;
      for (let v = 0; v < r; v++) {
        const row = y! * stride - padding + v;
        if (row < 0 || row >= height) continue; // the padding is 0
        for (let u = 0; u < s; u++) {
          const column = x! * stride - padding + u;
          if (column < 0 || column >= width) continue;
          sum +=
            input.data[(plane + row) * width + column]! *
            weight.data[((k! * channels + c) * r + v) * s + u]!;
        }
      }
    }
    return relu ? rectify(sum) : sum;
  });
}

export function batchNorm(
  input: Numbers,
  p: {
    weight: Numbers;
    bias: Numbers;
    mean: Numbers;
    variance: Numbers;
    epsilon?: number;
    relu?: boolean;
  },
): Numbers {
  const { epsilon = 1e-5, relu = false } = p;
  return numbers(input.shape, (b, c, y, x) => {
    const centred = at(input, b!, c!, y!, x!) - at(p.mean, c!);
    const value =
      (centred / Math.sqrt(at(p.variance, c!) + epsilon)) * at(p.weight, c!) + at(p.bias, c!);
    return relu ? rectify(value) : value;
  });
}

export function relu(input: Numbers): Numbers {
  return { shape: input.shape, data: input.data.map(rectify) };
}

export function maxPool2d(
  input: Numbers,
  options: { size?: number; stride?: number; padding?: number } = {},
): Numbers {
  const { size = 2, stride = size, padding = 0 } = options;
  const [n, channels, height, width] = input.shape as [number, number, number, number];
  const out = (extent: number) => Math.floor((extent + 2 * padding - size) / stride) + 1;
  return numbers([n, channels, out(height), out(width)], (b, c, y, x) => {
    const rows = range(size)
      .map((v) => y! * stride - padding + v)
      .filter((v) => v >= 0 && v < height);
    const columns = range(size)
      .map((u) => x! * stride - padding + u)
      .filter((u) => u >= 0 && u < width);
    return maximum(rows.flatMap((v) => columns.map((u) => at(input, b!, c!, v, u))));
  });
}

export function adaptiveAvgPool2d(
  input: Numbers,
  [rows, columns]: readonly [number, number],
): Numbers {
  const [n, channels, height, width] = input.shape as [number, number, number, number];
  const bin = (i: number, bins: number, size: number) => {
    const start = Math.floor((i * size) / bins);
    return range(Math.ceil(((i + 1) * size) / bins) - start).map((offset) => start + offset);
  };
  return numbers([n, channels, rows, columns], (b, c, y, x) => {
    const values = bin(y!, rows, height).flatMap((v) =>
      bin(x!, columns, width).map((u) => at(input, b!, c!, v, u)),
    );
    return values.reduce((a, v) => a + v, 0) / values.length;
  });
}

export function flatten(input: Numbers): Numbers {
  const [n, ...rest] = input.shape as [number, ...number[]];
  return { shape: [n, rest.reduce((a, b) => a * b, 1)], data: input.data };
}

export function gemm(
  input: Numbers,
  weight: Numbers,
  options: { bias?: Numbers | undefined; relu?: boolean } = {},
): Numbers {
  const { bias, relu = false } = options;
  const features = input.shape[1]!;
  return numbers([input.shape[0]!, weight.shape[0]!], (b, o) => {
    let sum = bias === undefined ? 0 : at(bias, o!);
    for (let i = 0; i < features; i++)
      sum += input.data[b! * features + i]! * weight.data[o! * features + i]!;
    return relu ? rectify(sum) : sum;
  });
}

/** input (N, H, W, C) in 0 … 255 where `isUint8`, else (N, C, H, W) in 0 … 1. */
export function normalize(
  input: Numbers,
  options: { mean: readonly number[]; std: readonly number[]; isUint8: boolean },
): Numbers {
  const { mean, std, isUint8 } = options;
  const [n, a, b, c] = input.shape as [number, number, number, number];
  return numbers(isUint8 ? [n, c, a, b] : input.shape, (image, channel, y, x) => {
    const value = isUint8
      ? at(input, image!, y!, x!, channel!) / 255
      : at(input, image!, channel!, y!, x!);
    return (value - mean[channel!]!) / std[channel!]!;
  });
}

export function softmax(input: Numbers): Numbers {
  const [n, features] = input.shape as [number, number];
  const data = input.data.slice();
  for (const b of range(n)) {
    const row = data.subarray(b * features, (b + 1) * features);
    const greatest = row.reduce((x, y) => Math.max(x, y));
    const sum = row.reduce((total, x) => total + Math.exp(x - greatest), 0);
    row.set(row.map((x) => Math.exp(x - greatest) / sum));
  }
  return { shape: input.shape, data };
}

export function topK(input: Numbers, k: number): { values: Numbers; indices: Numbers } {
  const [n, features] = input.shape as [number, number];
  const order = range(n).map((b) => {
    const value = (i: number) => at(input, b, i);
    const rank = (i: number) => (Number.isNaN(value(i)) ? Number.POSITIVE_INFINITY : value(i));
    // Infinity below NaN, then the lower index.
    const isNaNFirst = (i: number, j: number) =>
      Number(Number.isNaN(value(j))) - Number(Number.isNaN(value(i)));
    return range(features).sort(
      (i, j) => isNaNFirst(i, j) || (rank(j) > rank(i) ? 1 : rank(j) < rank(i) ? -1 : i - j),
    );
  });
  return {
    values: numbers([n, k], (b, i) => at(input, b!, order[b!]![i!]!)),
    indices: numbers([n, k], (b, i) => order[b!]![i!]!),
  };
}
