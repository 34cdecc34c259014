// The commands that messages about sets of NVIDIA's libraries recommend, so that a user can paste them into a shell.
import { findDriver } from "../../nvidia/sets/choose.js";
import { cudaOf, testedSets, thisPlatform } from "../../nvidia/sets/set.js";

/** Quotes a word for the system's shell if it needs that. */
export function shellWord(word: string, platform = process.platform): string {
  if (platform === "win32") {
    if (/^[\w@+=:,.\\/~-]+$/.test(word)) return word;
    return `"${word.replace(/\\+$/, "$&$&")}"`; // a backslash before the last quote would quote it
  }
  return /^[\w@+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The option that leads a further command to the same folder. */
export function atFolder(folder: string | undefined): string {
  return folder === undefined ? "" : ` --folder ${shellWord(folder)}`;
}

/** What `vgg cuda install` gives for the name of a set: that set, the newest versions, or a newer tested set. */
function sourceOf(name: string): "itself" | "latest" | "tested" {
  const platform = thisPlatform();
  if (testedSets().some((set) => set.name === name && set.platform === platform)) return "itself";
  // The name has the versions of all three packages (latest.ts).
  return name.split("-").length > 2 ? "latest" : "tested";
}

/** The command that installs a set like the one with this name. */
function installOf(name: string, at: string): string {
  const latest = sourceOf(name) === "latest" ? " --latest" : "";
  return `npx vgg-cudnn cuda install --cuda ${cudaOf(name)}${latest}${at}`;
}

const removalOf = (name: string, at: string) => `npx vgg-cudnn cuda remove ${name}${at}`;

/** The command that installs the first set. Without a driver it must name the CUDA major. */
export function firstInstall(at: string): string {
  const cuda = findDriver().version === 0 ? " --cuda 13" : "";
  return `npx vgg-cudnn cuda install${cuda}${at}`;
}

/**
 * Says how to mend a damaged set.
 * @param at what `atFolder` returns
 * @param isTakenForWhole an installation would find nothing wrong, because only the content of a file is
 */
export function repairOf(name: string, at: string, isTakenForWhole = false): string {
  const source = sourceOf(name);
  const install = installOf(name, at);
  if (source === "itself" && !isTakenForWhole) return `install it anew with: ${install}`;
  const what = { itself: "it anew", latest: "the newest versions", tested: "the tested set" };
  return `remove it with: ${removalOf(name, at)}, then install ${what[source]} with: ${install}`;
}

/** Says how to go on with a set that is not finished, or to remove it. */
export function continuationOf(name: string, at: string): string {
  const source = sourceOf(name);
  const removal = `${removalOf(name, at)} removes it`;
  if (source === "tested") return removal;
  const unless = source === "latest" ? " unless the index has newer versions" : "";
  return `${installOf(name, at)} goes on${unless}, ${removal}`;
}
