// The files of deploy/, read: the manifests with their containers, and the Dockerfile with its stages.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";

export const root = fileURLToPath(new URL("../../..", import.meta.url));
export const deploy = join(root, "deploy");

/** A manifest, as far as the tests look into it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly annotations?: Record<string, string> };
  // biome-ignore lint/suspicious/noExplicitAny: the schemas say what it has
  readonly spec: any;
}

export interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string | number };
}

export interface Container {
  readonly image: string;
  readonly args: readonly string[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly startupProbe?: Probe;
  readonly readinessProbe: Probe;
  readonly livenessProbe: Probe;
  readonly lifecycle?: { readonly preStop: { readonly exec: { readonly command: string[] } } };
  readonly resources: { readonly limits: Record<string, unknown> };
}

/** The manifests of a text, which may have several. @throws {Error} it is no YAML */
export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text).map((document) => {
    if (document.errors[0] !== undefined) throw document.errors[0];
    return document.toJS() as Manifest;
  });
}

/** Every manifest with its file, such as "kubernetes/cpu.yaml". */
export const manifests: readonly (Manifest & { readonly file: string })[] = readdirSync(deploy, {
  recursive: true,
  encoding: "utf8",
})
  .filter((path) => path.endsWith(".yaml"))
  .sort()
  .flatMap((file) =>
    parseManifests(readFileSync(join(deploy, file), "utf8")).map((one) => ({ ...one, file })),
  );

/** The containers that run the server. */
export const containers = manifests.flatMap(({ file, spec }) =>
  ((spec.template?.spec.containers ?? spec.containers ?? []) as Container[]).map(
    (container) => [file, container] as const,
  ),
);

/** An instruction of a Dockerfile: its name and what follows, continued lines joined. */
export type Instruction = readonly [name: string, rest: string];

/** The stages of a Dockerfile by their names. */
export function stagesOf(text: string): Map<string, Instruction[]> {
  const stages = new Map<string, Instruction[]>();
  let stage: Instruction[] = [];
  for (const line of text.replace(/\\\n/g, " ").split("\n")) {
    const [, name, rest] = /^([A-Z]+)\s+(.+)$/.exec(line) ?? [];
    if (name === undefined) {
      if (line.trim() !== "" && !line.startsWith("#")) throw new Error(`no instruction: ${line}`);
      continue;
    }
    if (name === "FROM") {
      stage = [];
      stages.set(/ AS (\w+)$/.exec(rest!)?.[1] ?? "", stage);
    }
    stage.push([name, rest!]);
  }
  return stages;
}
