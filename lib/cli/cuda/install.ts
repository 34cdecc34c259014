// `vgg cuda install`: downloads the libraries that a GPU needs from NVIDIA's Python packages, without Python and without root.
import { type Command, Option } from "commander";
import { rangeError } from "../../check.js";
import { checkPath } from "../../files/replace.js";
import { resolveIndex } from "../../nvidia/package-index.js";
import {
  checkPlatform,
  cudaOfDriver,
  findDriver,
  shownVersion,
  testedSet,
} from "../../nvidia/sets/choose.js";
import { installSet } from "../../nvidia/sets/install-set.js";
import { setsFolder } from "../../nvidia/sets/installed.js";
import { latestSet } from "../../nvidia/sets/latest.js";
import { bytesOf, type CudaMajor, type LibrarySet } from "../../nvidia/sets/set.js";
import { downloadLine } from "../download-progress.js";
import { command, type OutputOptions, print } from "../options.js";
import { writeError } from "../text.js";
import { acceptLicences } from "./licence.js";
import { gigabytes } from "./text.js";

interface Options extends OutputOptions {
  cuda?: "12" | "13";
  index?: string;
  from?: string;
  folder?: string;
  acceptLicense: boolean;
  latest: boolean;
}

export function installCommand(): Command {
  return command("install", "install cuDNN, cuBLASLt and NVRTC from NVIDIA's Python packages")
    .addOption(
      new Option("--cuda <major>", "CUDA major (default: the newest that the driver runs)").choices(
        ["12", "13"],
      ),
    )
    .option("--index <url>", "package index (default: pip's own setting, else NVIDIA's index)")
    .option("--from <dir>", "take the wheels from a folder, and use no network")
    .option("--folder <path>", "folder for sets (default: the one in the cache folder)")
    .option("--accept-license", "accept NVIDIA's licences without a question", false)
    .option("--latest", "the newest versions in the index, which no test has seen", false)
    .action(install);
}

/** Says something about the set that does not prevent its installation. */
type Warn = (text: string) => void;

/** Returns the CUDA major to install, and says if this machine's driver cannot run it. */
function chosenCuda({ cuda }: Options, warn: Warn): CudaMajor {
  const driver = findDriver();
  if (cuda === undefined) return cudaOfDriver(driver);
  const major = cuda === "12" ? 12 : 13;
  if (driver.version > 0 && driver.version < major * 1000) {
    const version = shownVersion(driver.version);
    warn(
      `this machine's driver runs ${version} at most, so it cannot use libraries for CUDA ${cuda}`,
    );
  }
  return major;
}

async function chosenSet(options: Options, warn: Warn): Promise<LibrarySet> {
  const { index, from, latest } = options;
  if (from !== undefined) checkPath(from, "from");
  if (from !== undefined && index !== undefined)
    throw rangeError("no --from beside it", "--index", index);
  if (from !== undefined && latest) throw rangeError("no --latest beside it", "--from", from);
  checkPlatform();
  if (index !== undefined) await resolveIndex({ index });
  const cuda = chosenCuda(options, warn);
  const tested = testedSet(cuda);
  if (!latest) return tested;
  const newest = await latestSet(cuda, { index });
  const files = (set: LibrarySet) => set.wheels.map(({ file }) => file).join();
  if (files(newest) === files(tested)) return tested;
  const packages = newest.wheels.map(({ name, version }) => `${name} ${version}`).join(", ");
  warn(`${packages}: no test of this package has seen these versions`);
  return newest;
}

async function install(options: Options): Promise<void> {
  const folder = setsFolder(options.folder);
  // With --json they are in the result, because an error must be the only line on stderr.
  const warnings: string[] = [];
  const set = await chosenSet(options, (text) => {
    if (options.json) warnings.push(text);
    else writeError(`vgg: ${text}\n`);
  });
  await acceptLicences(set, options.acceptLicense, !options.json);
  const progress = await downloadLine(set.name);
  const { index, from } = options;
  const {
    set: installed,
    wasInstalled,
    receivedBytes,
  } = await installSet(set, {
    folder,
    index,
    from,
    onProgress: progress.show,
  }).finally(progress.stop);
  const { name, cuda, packages, isTested } = installed;
  const bytes = bytesOf(set);
  if (!options.json) {
    const did = wasInstalled ? "is already installed" : `is installed: ${packages.join(", ")}`;
    writeError(`vgg: ${name} ${did}, ${gigabytes(bytes)}\n`);
  }
  const report = { name, cuda, folder: installed.folder, packages, bytes, isTested };
  print(options, { ...report, wasInstalled, receivedBytes, warnings }, () => installed.folder);
}
