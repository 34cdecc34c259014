// VGG's layers in the form that engines need: each convolution or linear layer together with its ReLU.

/** @param summary of a plain network for 224 × 224 images, where the adaptive average pool is the identity */
export function fusedLayers({ layers }) {
  const fused = [];
  for (const { name, kind, outputShape } of layers) {
    if (kind === "relu") fused.at(-1).relu = true;
    else if (kind === "adaptiveAvgPool2d") fused.push({ kind: "flatten", name });
    else if (kind !== "dropout")
      fused.push({ kind, name, channels: outputShape[1], side: outputShape[2], relu: false });
  }
  return fused;
}
