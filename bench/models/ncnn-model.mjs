// Writes a model as ncnn's two files: the layers as text, and the parameters as float32.
// https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure, …/operators for the numbered attributes

const attributes = (values) =>
  Object.entries(values)
    .map(([key, value]) => `${key}=${value}`)
    .join(" ");

/** @returns `param`, the text, and `bin`, the parameters as parts of a file */
export function toNcnn(layers, stateDict, { inChannels, imageSize }) {
  const rows = [
    `Input input 0 1 input ${attributes({ 0: imageSize, 1: imageSize, 2: inChannels })}`,
  ];
  const bin = [];
  let current = "input";
  for (const [index, { kind, name, relu }] of layers.entries()) {
    const next = index === layers.length - 1 ? "logits" : name;
    const add = (type, values) =>
      rows.push(`${type} ${name} 1 1 ${current} ${next} ${attributes(values)}`.trimEnd());
    if (kind === "maxPool2d") add("Pooling", { 0: 0, 1: 2, 2: 2 });
    else if (kind === "flatten") add("Flatten", {});
    else {
      const weight = stateDict.get(`${name}.weight`);
      const bias = stateDict.get(`${name}.bias`);
      const shared = { 0: weight.shape[0], 9: relu ? 1 : 0 };
      if (kind === "conv2d")
        add("Convolution", { ...shared, 1: 3, 4: 1, 5: 1, 6: weight.data.length });
      else add("InnerProduct", { ...shared, 1: 1, 2: weight.data.length });
      bin.push(Buffer.alloc(4), weight.data, bias.data); // Four zero bytes say that float32 follows.
    }
    current = next;
  }
  const head = ["7767517", `${rows.length} ${rows.length}`];
  return { param: `${[...head, ...rows].join("\n")}\n`, bin };
}
