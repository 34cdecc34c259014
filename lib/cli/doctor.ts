// `vgg doctor`: what the package needs against what this machine has, and what to do about the difference.
import type { Command } from "commander";
import { type Diagnosis, diagnose } from "../device.js";
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
  lines.push(`${cuda.available ? "ok   " : "none "} cuda   ${cuda.reason}`);
  return lines.join("\n");
}
