// `vgg doctor`: compares the package's requirements with this machine, and says what to do about a difference.
import { basename, dirname } from "node:path";
import { type Command, Option } from "commander";
import { type Diagnosis, diagnose } from "../device/diagnosis.js";
import { addonMissingText } from "../native/missing.js";
import { setsFolder } from "../nvidia/sets/installed.js";
import { atFolder, repairOf } from "./cuda/advice.js";
import { command, type OutputOptions, print } from "./options.js";
import { wrap } from "./text.js";

interface DoctorOptions extends OutputOptions {
  require?: "cpu" | "cuda";
}

export function doctorCommand(): Command {
  return command("doctor", "say what works on this machine, what does not, and why")
    .addOption(
      new Option("--require <kind>", "fail unless such a device is ready").choices(["cpu", "cuda"]),
    )
    .action((options: DoctorOptions) => {
      const diagnosis = diagnose();
      const { isReady, verdict } = judge(diagnosis, options.require);
      print(options, { ...diagnosis, isReady, verdict }, () =>
        [...describeDiagnosis(diagnosis), "", wrap(verdict)].join("\n"),
      );
      if (!isReady) process.exitCode = 1;
    });
}

/** Says in one sentence what this machine can run. It is ready if it has the required kind of device. */
function judge({ cpu, cuda }: Diagnosis, required: "cpu" | "cuda" = "cpu") {
  if (cpu === null)
    return { isReady: false, verdict: "This machine is not ready: the addon is missing." };
  if (cuda.available) {
    const ids = cuda.devices.map(({ id }) => id).join(", ");
    return { isReady: true, verdict: `This machine is ready: ${ids} and the CPU.` };
  }
  const advice = lacksLibrary(cuda) ? ` The driver works, but ${whatIsMissing(cuda)}` : "";
  return required === "cuda"
    ? {
        isReady: false,
        verdict: `This machine is not ready: --require cuda, but there is no GPU that works.${advice}`,
      }
    : {
        isReady: true,
        verdict: `This machine is ready: the CPU only. No GPU will be used.${advice}`,
      };
}

/** Whether there is a driver, but a library that `vgg cuda install` would bring was not found. */
function lacksLibrary({ libraries }: Diagnosis["cuda"]): boolean {
  const [driver, ...others] = libraries;
  return driver?.problem === null && others.some(({ code }) => code === "LIBRARY_MISSING");
}

/** Says what to do about missing libraries. The line of a damaged set says it already. */
function whatIsMissing({ damagedSets }: Diagnosis["cuda"]): string {
  if (damagedSets.length === 0) return "libraries are missing: npx vgg-cudnn cuda install";
  const names = damagedSets.map(({ name }) => name).join(" and ");
  return `libraries are missing, and ${names} ${damagedSets.length === 1 ? "is" : "are"} damaged (see above).`;
}

/** Says what is wrong with a set, and how to mend it in its folder. */
function describeDamage({ name, folder, problem }: Diagnosis["cuda"]["damagedSets"][number]) {
  let usual: string | undefined;
  try {
    usual = setsFolder();
  } catch {
    // This user has no cache folder, so the set is in a folder of VGG_CUDA_PATH.
  }
  const holder = dirname(folder);
  const at = atFolder(holder === usual ? undefined : holder);
  return `${name} at ${folder} is damaged: ${problem}; ${repairOf(name, at)}`;
}

/** A line of the report. Further lines of a long text begin below the first. */
function line(state: "ok" | "none" | "FAIL" | "", name: string, text: string): string {
  const start = `${state.padEnd(5)} ${name.padEnd(9)} `;
  return wrap(start + text, " ".repeat(start.length));
}

function describeDiagnosis({ version, node, platform, addon, cpu, cuda }: Diagnosis): string[] {
  const lines = [`vgg-cudnn ${version}, Node ${node}, ${platform}`];
  lines.push(...describeAddon(addon));
  if (cpu === null) lines.push(line("FAIL", "cpu", "needs the addon"));
  else {
    const memory = `${(cpu.memoryBytes / 1e9).toFixed(1)} GB`;
    const sets = cpu.instructionSets?.join(" > ");
    lines.push(line("ok", "cpu", `${cpu.name}, ${cpu.threads} threads, ${sets}, ${memory}`));
  }
  return [...lines, ...describeCuda(cuda)];
}

/** Says which file is loaded, where it comes from, and what tells it from other builds; else what was tried and what to do. */
function describeAddon(addon: Diagnosis["addon"]): string[] {
  const { path, kind, package: holder, sha256, platform } = addon;
  if (path === null) {
    const [, ...rest] = addonMissingText(addon).split("\n");
    return [
      line("FAIL", "addon", "could not be loaded"),
      ...rest.map((text) => line("", "", text.trim())),
    ];
  }
  const origins = {
    prebuilt: `prebuilt, ${holder?.name} ${holder?.version}`,
    built: "built in the package's folder",
    environment: "named by VGG_ADDON",
  };
  const sum = sha256 === null ? "" : `, sha256 ${sha256.slice(0, 12)}`;
  return [
    line("ok", "addon", path),
    line("", "", `${kind === null ? "" : origins[kind]}${sum}`),
    // A platform package names it already.
    ...(platform === null || kind === "prebuilt" ? [] : [line("", "", `for ${platform}`)]),
  ];
}

/** Describes each GPU and each library, and what was tried if CUDA is not available. */
function describeCuda(cuda: Diagnosis["cuda"]): string[] {
  const { available, reason, devices, libraries, set, attempts, environment } = cuda;
  const lines: string[] = [];
  for (const gpu of available ? devices : []) {
    const { id, name, computeCapability, memoryBytes, precisions } = gpu;
    const memory = `${(memoryBytes / 1e9).toFixed(1)} GB`;
    const text = `${name}, compute capability ${computeCapability}, ${memory}, ${precisions.join(", ")}`;
    lines.push(line("ok", id, text));
  }
  // A missing library is the reason itself, and its own line says it.
  const isSaid = libraries.some(({ name, problem }) => `${name}: ${problem}` === reason);
  if (!available && !isSaid) lines.push(line("none", "cuda", reason));
  for (const { name, path, version, problem } of libraries) {
    const short = name.replace("CUDA driver", "driver");
    if (problem === null) lines.push(line("ok", short, `${version} at ${path}`));
    else lines.push(line("none", short, problem));
  }
  if (set !== null) lines.push(line("ok", "set", `${basename(set)} at ${set}`));
  for (const damaged of cuda.damagedSets) lines.push(line("none", "set", describeDamage(damaged)));
  for (const { path, error } of available ? [] : attempts) {
    if (error === null || isAbsence(error, environment)) continue;
    // The system's loader begins its messages with the name.
    lines.push(line("", "", error.startsWith(`${path}: `) ? error : `${path}: ${error}`));
  }
  for (const [name, value] of Object.entries(environment))
    lines.push(line("", "", `${name}=${value}`));
  return lines;
}

/** Whether an attempt only says that the file is absent. It is of interest if the user named a folder. */
function isAbsence(error: string, environment: Readonly<Record<string, string>>): boolean {
  const isMissing =
    error === "no such file" ||
    error.endsWith("cannot open shared object file: No such file or directory");
  return isMissing && environment.VGG_CUDA_PATH === undefined;
}
