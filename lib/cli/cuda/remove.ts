// `vgg cuda remove`: removes a set of NVIDIA's libraries, and what an unfinished installation or removal left.
import type { Command } from "commander";
import { rangeError } from "../../check.js";
import { withFile } from "../../files/errors.js";
import { removeSet, unfinishedSets } from "../../nvidia/sets/install-set.js";
import { listSets, setsFolder } from "../../nvidia/sets/installed.js";
import { command, type OutputOptions, print } from "../options.js";
import { writeError } from "../text.js";

interface Options extends OutputOptions {
  folder?: string;
}

export function removeCommand(): Command {
  return command("remove", "remove a set of NVIDIA's libraries")
    .argument("[set]", "name of a set, as `vgg cuda list` prints it (default: the only one)")
    .option("--folder <path>", "folder of sets (default: the one in the cache folder)")
    .action(remove);
}

async function remove(set: string | undefined, options: Options): Promise<void> {
  const folder = setsFolder(options.folder);
  const installed = await withFile(folder, async () => listSets(folder));
  const unfinished = await unfinishedSets(folder);
  const names = [...new Set([...installed, ...unfinished].map(({ name }) => name))];
  if (set === undefined && names.length > 1)
    throw new RangeError(`Expected one of ${names.join(", ")} for SET, because there are several`);
  const name = set ?? names[0];
  if (name === undefined) throw new RangeError(`Expected a set in ${folder}, but it has none`);
  if (!names.includes(name)) {
    const there = names.length === 0 ? "and it has none," : `which are ${names.join(", ")},`;
    throw rangeError(`a set in ${folder}, ${there}`, "SET", set);
  }
  let isSaid = false;
  const onWait = () => {
    if (!isSaid) writeError(`vgg: waits for another process that installs ${name}\n`);
    isSaid = true;
  };
  await removeSet(folder, name, onWait);
  print(options, { name, folder }, () => `${name} is removed`);
}
