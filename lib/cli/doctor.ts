// `vgg doctor`: compares the package's requirements with this machine, and says what to do about a difference.
import type { Command } from "commander";
import { type Diagnosis, diagnose } from "../device/diagnosis.js";
import { command, type OutputOptions, print } from "./options.js";

export function doctorCommand(): Command {
  return command("doctor", "say what works on this machine, what does not, and why").action(
    (options: OutputOptions) => {
      const diagnosis = diagnose();
      print(options, diagnosis, () => describeDiagnosis(diagnosis));
      if (diagnosis.cpu === null) process.exitCode = 1;
    },
  );
}

function describeDiagnosis({ version, node, platform, addon, cpu, cuda }: Diagnosis): string {
  const lines = [`vgg-cudnn ${version}, Node ${node}, ${platform}`];
  if (addon.path !== null) lines.push(`ok    addon  ${addon.path}`);
  else {
    lines.push("FAIL  addon  could not be loaded; build it with: npx vgg build");
    for (const { path, error } of addon.tried) lines.push(`             ${path}: ${error}`);
  }
  if (cpu === null) lines.push("FAIL  cpu    needs the addon");
  else {
    const memory = `${(cpu.memoryBytes / 1e9).toFixed(1)} GB`;
    lines.push(
      `ok    cpu    ${cpu.name}, ${cpu.threads} threads, ${cpu.instructionSets?.join(" > ")}, ${memory}`,
    );
  }
  lines.push(...describeCuda(cuda));
  return lines.join("\n");
}

/** Describes each GPU and each library, and the paths that were tried if CUDA is not available. */
function describeCuda({
  available,
  reason,
  devices,
  libraries,
  attempts,
  environment,
}: Diagnosis["cuda"]): string[] {
  const lines = available ? [] : [`none  cuda   ${reason}`];
  for (const { id, name, computeCapability, memoryBytes, precisions } of available ? devices : []) {
    const memory = `${(memoryBytes / 1e9).toFixed(1)} GB`;
    lines.push(
      `ok    ${id} ${name}, compute capability ${computeCapability}, ${memory}, ${precisions.join(", ")}`,
    );
  }
  for (const { name, path, version, problem } of libraries) {
    if (`${name}: ${problem}` === reason) continue; // the first line says it
    const found = problem === null ? `${version} at ${path}` : problem;
    lines.push(`${problem === null ? "ok   " : "none "} ${name}: ${found}`);
  }
  if (!available) {
    // Omit folders that lack the file, unless the user named a folder.
    const named = attempts.filter(
      ({ error }) =>
        error !== null && (error !== "no such file" || environment.VGG_CUDA_PATH !== undefined),
    );
    for (const { path, error } of named) {
      // The system's loader begins its messages with the name.
      lines.push(`             ${error?.startsWith(`${path}: `) ? error : `${path}: ${error}`}`);
    }
  }
  for (const [name, value] of Object.entries(environment)) lines.push(`      ${name}=${value}`);
  return lines;
}
