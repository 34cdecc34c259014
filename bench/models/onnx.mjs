// Writes a model as an ONNX file for the peers that read ONNX. It encodes a few protobuf messages by hand.
// Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto

function varint(value) {
  const bytes = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 128);
  }
}

const number = (field, value) => [varint(field * 8), varint(value)];
const bytes = (field, ...parts) => {
  const flat = parts.flat(Number.POSITIVE_INFINITY);
  return [
    varint(field * 8 + 2),
    varint(flat.reduce((sum, part) => sum + part.byteLength, 0)),
    ...flat,
  ];
};
const text = (field, value) => bytes(field, Buffer.from(value));

const intsAttribute = (name, values) =>
  bytes(
    5,
    text(1, name),
    values.map((value) => number(8, value)),
    number(20, 7),
  );
const intAttribute = (name, value) => bytes(5, text(1, name), number(3, value), number(20, 2));

const node = (type, inputs, output, ...attributes) =>
  bytes(
    1,
    inputs.map((input) => text(1, input)),
    text(2, output),
    text(4, type),
    attributes,
  );

function initializer(name, shape, data) {
  return bytes(
    5,
    shape.map((dimension) => number(1, dimension)),
    number(2, 1),
    text(8, name),
    bytes(9, Buffer.from(data.buffer, data.byteOffset, data.byteLength)),
  );
}

function value(field, name, dimensions) {
  const shape = dimensions.map((d) => bytes(1, typeof d === "string" ? text(2, d) : number(1, d)));
  return bytes(field, text(1, name), bytes(2, bytes(1, number(1, 1), bytes(2, shape))));
}

/** The model as parts of a file: plain convolutions, ReLU, pools and linear layers, for any batch size. */
export function toOnnx(model, stateDict) {
  const nodes = [];
  let current = "input";
  const { layers } = model.summary();
  for (const [index, { name, kind }] of layers.entries()) {
    const next = index === layers.length - 1 ? "logits" : name;
    const parameters = [`${name}.weight`, `${name}.bias`];
    if (kind === "conv2d") {
      const attributes = [
        intsAttribute("kernel_shape", [3, 3]),
        intsAttribute("pads", [1, 1, 1, 1]),
      ];
      nodes.push(node("Conv", [current, ...parameters], next, attributes));
    } else if (kind === "relu") nodes.push(node("Relu", [current], next));
    else if (kind === "maxPool2d") {
      nodes.push(
        node(
          "MaxPool",
          [current],
          next,
          intsAttribute("kernel_shape", [2, 2]),
          intsAttribute("strides", [2, 2]),
        ),
      );
    } else if (kind === "adaptiveAvgPool2d") {
      nodes.push(node("Flatten", [current], next)); // the identity at 7 × 7
    } else if (kind === "linear") {
      nodes.push(node("Gemm", [current, ...parameters], next, intAttribute("transB", 1)));
    } else if (kind === "dropout") continue;
    else throw new Error(`Expected a layer that ONNX is written for but received ${kind}`);
    current = next;
  }
  const graph = bytes(
    7,
    nodes,
    text(2, model.arch),
    [...stateDict].map(([name, { shape, data }]) => initializer(name, shape, data)),
    value(11, "input", ["N", model.inChannels, model.imageSize, model.imageSize]),
    value(12, "logits", ["N", model.numClasses]),
  );
  return [number(1, 8), graph, bytes(8, number(2, 17))].flat(Number.POSITIVE_INFINITY);
}
