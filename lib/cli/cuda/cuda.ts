// `vgg cuda`: the commands that install, list and remove NVIDIA's libraries for this user.
import type { Command } from "commander";
import { plainCommand } from "../options.js";
import { installCommand } from "./install.js";
import { listCommand } from "./list.js";
import { removeCommand } from "./remove.js";

export function cudaCommand(): Command {
  const cuda = plainCommand("cuda", "install, list and remove NVIDIA's libraries for this user");
  for (const command of [installCommand(), listCommand(), removeCommand()])
    cuda.addCommand(command);
  return cuda;
}
