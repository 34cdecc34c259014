// What a file without a VGG in it holds, as far as its tensors' names tell.

/** Patterns of names, and whose names they are. The first pattern that a name has decides. */
const signatures: readonly (readonly [RegExp, string])[] = [
  [/(^|\.)lora_[AB]\./, "a LoRA adapter"],
  [/(^|\.)(exp_avg|exp_avg_sq|momentum_buffer)(\.|$)/, "an optimizer's state"],
  [/(^|\.)block\d_conv\d([./_]|$)/, "Keras's VGG"],
  [/(^|\.)conv[1-5]_[1-4]\.(weight|bias)$/, "Caffe's VGG (conv1_1 … fc8)"],
  [/(^|\.)layer[1-4]\.\d+\.conv\d\.weight$/, "a ResNet"],
  [/(^|\.)(resnet\.)?encoder\.stages\.\d+\.layers\.\d+\.layer\.\d/, "a ResNet of Hugging Face"],
  [/(^|\.)denseblock\d\.denselayer\d/, "a DenseNet"],
  [/(^|\.)Mixed_\d[a-e]\./, "an Inception network"],
  [/(^|\.)inception\d[a-e]\./, "a GoogLeNet"],
  [/(^|\.)features\.\d+\.(squeeze|expand\dx\d)\./, "a SqueezeNet"],
  [/(^|\.)features\.\d+\.\d+\.block\.\d/, "a network of EfficientNet's or ConvNeXt's kind"],
  [/(^|\.)features\.\d+\.conv\.\d/, "a MobileNet"],
  [/(^|\.)features\.\d+\.\d+\.attn\./, "a Swin transformer"],
  [/(^|\.)conv_stem\.weight$/, "an EfficientNet or MobileNet of timm"],
  [/(^|\.)stages\.\d+\.blocks\.\d/, "a network of timm with stages (ConvNeXt, RegNet)"],
  [/(^|\.)trunk_output\.block\d/, "a RegNet"],
  [
    /(^|\.)(encoder_layer_\d+|blocks\.\d+\.attn|encoder\.layer\.\d+\.attention)\./,
    "a vision transformer or BERT",
  ],
  [/(^|\.)layers\.\d+\.(self_attn|attention|mlp)\./, "a language model"],
  [/(^|\.)(down_blocks|up_blocks|input_blocks|output_blocks)\.\d/, "a U-Net of a diffusion model"],
  [/(^|\.)model\.\d+\.(conv|cv\d|m)\./, "a YOLO network"],
];

/** Returns whose names these are, if a pattern tells. */
export function networkOf(
  names: Iterable<string>,
  shapeOf: (name: string) => readonly number[] | undefined,
): string | undefined {
  const first = shapeOf("features.0.weight");
  if (first?.length === 4 && first[2] === 11) return "an AlexNet";
  for (const name of names) {
    const found = signatures.find(([pattern]) => pattern.test(name));
    if (found !== undefined) return found[1];
  }
  return undefined;
}
