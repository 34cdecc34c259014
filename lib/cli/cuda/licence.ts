// NVIDIA's licences: says once that a set comes under them, asks on a terminal, and remembers which texts were accepted.
import { join } from "node:path";
import { createInterface } from "node:readline";
import { isPlainObject } from "../../check.js";
import { VggError } from "../../errors.js";
import { cacheFolder } from "../../files/cache-folder.js";
import { jsonOf } from "../../files/json.js";
import { makeFolder } from "../../files/make-folder.js";
import { readWhole } from "../../files/read-whole.js";
import { replaceFile } from "../../files/replace.js";
import type { LibrarySet } from "../../nvidia/sets/set.js";
import { writeError } from "../text.js";

const pages = [
  "https://docs.nvidia.com/deeplearning/cudnn/backend/latest/reference/eula.html",
  "https://docs.nvidia.com/cuda/eula/index.html",
];

/** The file that keeps the SHA-256 of each accepted text. */
const memory = () => join(cacheFolder(), "nvidia-licences.json");

/** Returns the hashes of the accepted texts. A file that cannot be read counts as none. */
async function accepted(): Promise<string[]> {
  try {
    const value = jsonOf(await readWhole(memory()));
    const hashes = isPlainObject(value) && Object.hasOwn(value, "accepted") ? value.accepted : [];
    return Array.isArray(hashes) ? hashes.filter((hash) => typeof hash === "string") : [];
  } catch {
    return [];
  }
}

/** Remembers an answer if the folder can be written to; otherwise the next call asks again. */
async function remember(hashes: readonly string[]): Promise<void> {
  try {
    await makeFolder(cacheFolder());
    const text = `${JSON.stringify({ accepted: [...new Set(hashes)] }, null, 2)}\n`;
    await replaceFile(memory(), (file) => file.write(Buffer.from(text)));
  } catch {
    // The set may go to another folder, which can be written to.
  }
}

/** Asks a question that ends with [y/N]. Does not change the terminal, so that Ctrl-C ends the process. */
function ask(question: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: false });
  return new Promise((resolve) => {
    lines.on("close", () => resolve(false)); // the end of the input is no
    lines.question(question, (answer) => {
      resolve(/^y(es)?$/i.test(answer.trim()));
      lines.close();
    });
  });
}

/**
 * Makes sure that the user has accepted the licences of a set.
 * @param isAccepted the call says so, by --accept-license
 * @param mayAsk whether a question may be asked: not with --json
 * @throws {RangeError} there is no terminal to ask on @throws {VggError} ABORTED: the user does not accept
 */
export async function acceptLicences(
  set: LibrarySet,
  isAccepted: boolean,
  mayAsk: boolean,
): Promise<void> {
  const texts = set.wheels
    .flatMap(({ members }) => members)
    .filter(({ to }) => to.endsWith(".LICENSE.txt"))
    .map(({ sha256 }) => sha256);
  const before = await accepted();
  if (texts.every((hash) => before.includes(hash))) return;
  const packages = set.wheels.map(({ name, version }) => `${name} ${version}`).join(", ");
  const notice =
    `This installs NVIDIA's software under NVIDIA's licences: ${packages}.\n` +
    `The licences are placed beside the libraries, and are published at\n${pages.map((page) => `  ${page}\n`).join("")}`;
  if (!isAccepted) {
    if (!mayAsk || !process.stdin.isTTY || !process.stderr.isTTY) {
      throw new RangeError(
        `Expected --accept-license: ${set.name} is NVIDIA's software under NVIDIA's licences (${pages.join(" and ")})`,
      );
    }
    writeError(notice);
    if (!(await ask("Do you accept them? [y/N] ")))
      throw new VggError("ABORTED", "NVIDIA's licences were not accepted; nothing was installed");
  } else if (mayAsk) writeError(notice);
  await remember([...before, ...texts]);
}
