// What the help shows beside commander's own text: examples, environment variables and exit codes.
import type { Command } from "commander";

/** Examples of each command: what it does, and the line. */
const examples: Readonly<Record<string, readonly (readonly [does: string, line: string])[]>> = {
  vgg: [
    ["what an image shows", "vgg classify cat.jpg --weights DEFAULT"],
    ["what works on this machine", "vgg doctor"],
  ],
  classify: [
    ["torchvision's weights, downloaded once", "vgg classify cat.jpg --weights DEFAULT"],
    ["an image from a pipe", "curl -s URL | vgg classify - --weights my.pth"],
    ["a list of files", "find . -name '*.jpg' | vgg classify --list - --weights my.pth"],
    ["a folder as CSV", "vgg classify images/ --weights my.pth --format csv > classes.csv"],
    [
      "a long list, again after a kill",
      "vgg classify --list a.txt --weights my.pth --resume out.ndjson",
    ],
  ],
  embed: [
    ["vectors of 4096 values", "vgg embed images/ --weights DEFAULT --out features.npy"],
    [
      "vectors of 512 values, for a database",
      "vgg embed images/ --weights my.pth --layer features --pool mean --out a.csv",
    ],
  ],
  similar: [
    ["the ten most similar images", "vgg similar cat.jpg --in features.npy --weights DEFAULT"],
  ],
  validate: [
    ["accuracy on folders that are named by class", "vgg validate val/ --weights my.pth"],
    ["the confusion matrix", "vgg validate val/ --weights my.pth --confusion confusion.svg"],
  ],
  compare: [
    ["how different two images look", "vgg compare a.png b.png --weights DEFAULT"],
    [
      "screenshots in CI, with maps of those that differ",
      "vgg compare expected/ actual/ --weights vgg16.pth --threshold 0.05 --map diff/",
    ],
  ],
  see: [
    [
      "what the first layer makes of an image",
      "vgg see cat.jpg --weights DEFAULT --layer features.1 --out maps.png",
    ],
    [
      "its filters, in colour",
      "vgg see --filters --weights DEFAULT --layer features.0 --out filters.png",
    ],
  ],
  serve: [
    ["torchvision's VGG11 on this machine", "vgg serve --model vgg11=DEFAULT"],
    [
      "two GPUs, for other machines",
      "vgg serve --model cats=cats.pth --device cuda:0,cuda:1 --host 0.0.0.0",
    ],
    ["whether a configuration is right", "vgg serve --config serve.json --check"],
  ],
  worker: [
    ["jobs with paths of images", "vgg worker --weights my.pth --allow-folder /data/images"],
  ],
  check: [["one forward with random parameters", "vgg check --arch vgg16"]],
  summary: [
    ["the layers of a network", "vgg summary --arch vgg16_bn"],
    ["what a file of weights is", "vgg summary --weights my.pth"],
  ],
  convert: [
    ["a .pth file as safetensors", "vgg convert my.pth my.safetensors"],
    ["in half precision", "vgg convert my.pth half.safetensors --precision float16"],
  ],
  pull: [
    ["weights of two networks", "vgg pull vgg11 vgg16"],
    ["what can be pulled", "vgg pull --list"],
  ],
  plan: [["plans for a GPU that is elsewhere", "vgg plan --gpu h100 --arch vgg16 --batch 1,8"]],
  cuda: [
    ["the libraries that the driver runs", "vgg cuda install"],
    ["what is installed, and what is used", "vgg cuda list"],
  ],
  install: [
    ["in the build of an image, without a GPU", "vgg cuda install --cuda 13 --accept-license"],
    ["without a network, from wheels in a folder", "vgg cuda install --from wheels/"],
  ],
  list: [["with the content of each file compared", "vgg cuda list --verify"]],
  remove: [["one set of several", "vgg cuda remove cu12-9.10.2.21"]],
  bench: [
    ["this machine's speed", "vgg bench --arch vgg16 --batch 1,8"],
    ["tables and figures", "vgg bench --export results/"],
  ],
  doctor: [
    ["what works, and why the rest does not", "vgg doctor"],
    ["the health check of a container", "vgg doctor --require cuda"],
  ],
  build: [["the addon, from nothing", "vgg build --clean"]],
  completion: [
    ["bash, in ~/.bashrc", "source <(vgg completion bash)"],
    ["zsh, in ~/.zshrc", "source <(vgg completion zsh)"],
    ["fish, in ~/.config/fish/config.fish", "vgg completion fish | source"],
  ],
};

const environment = `Environment:
  VGG_ADDON           path of the addon to load
  VGG_CUDA_PATH       folders with NVIDIA's libraries, searched first
  VGG_PLANS           folder of plans that vgg plan --out made for a GPU
  VGG_WEIGHTS_MIRROR  address to download weights from
  VGG_OFFLINE         any value but 0: weights are never downloaded
  TORCH_HOME          torch's folder, whose hub/checkpoints has weights
  XDG_CACHE_HOME      folder for caches (default: ~/.cache;
                      on Windows %LOCALAPPDATA%)
  All of them: docs/guide.md in the package`;

const exitCodes = `Exit codes:
  0  done
  1  it failed, or one of several images failed
  2  wrong command, option or argument`;

/** Adds examples to a command's help. The program's help also has environment variables and exit codes. */
export function withExamples(command: Command): void {
  const lines = (examples[command.name()] ?? []).map(([does, line]) => `  # ${does}\n  ${line}`);
  const parts = [
    ...(lines.length > 0 ? [`Examples:\n${lines.join("\n")}`] : []),
    ...(command.parent === null ? [environment] : []),
    exitCodes,
  ];
  command.addHelpText("after", `\n${parts.join("\n\n")}`);
}
