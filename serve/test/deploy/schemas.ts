// The schemas that `npm run deploy:fetch` brings: Kubernetes' own, and CRDs. Unknown fields are refused.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv, type ValidateFunction } from "ajv";
import { parse } from "yaml";
import { type Manifest, root } from "./files.ts";

const folder = join(root, ".cache/deploy");
export const isFetched = existsSync(join(folder, "fetched.json"));
export const hadolint = join(folder, "tools/bin/hadolint");

type Schema = Record<string, unknown>;

/**
 * Converts a schema of OpenAPI as Kubernetes uses it: an object with properties takes no others, as `kubectl
 * --validate=strict` has it, and a value may be a number or a string where Kubernetes says so.
 */
function strict(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(strict);
  if (typeof schema !== "object" || schema === null) return schema;
  const { properties, ...rest } = schema as Schema;
  const converted = Object.fromEntries(
    Object.entries(rest)
      .filter(([key]) => !["default", "description", "example", "format"].includes(key))
      .map(([key, value]) => [key, key === "enum" ? value : strict(value)]),
  );
  if ((schema as Schema).format === "int-or-string") {
    converted.type = ["integer", "string"];
  }
  if (properties === undefined || properties === null) return converted;
  // Here the keys are names of fields, and not words of the schema.
  converted.properties = Object.fromEntries(
    Object.entries(properties as Schema).map(([name, value]) => [name, strict(value)]),
  );
  const isOpen = converted["x-kubernetes-preserve-unknown-fields"] === true;
  if (!isOpen) converted.additionalProperties ??= false;
  return converted;
}

interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

const keyOf = ({ group, version, kind }: GroupVersionKind) =>
  `${group === "" ? "" : `${group}/`}${version} ${kind}`;

/** What checks a manifest, by "group/version Kind". It is compiled when it is asked for. */
type Schemas = Map<string, () => ValidateFunction>;

/** Reads all schemas. */
export function readSchemas(): Schemas {
  const validators: Schemas = new Map();
  for (const name of readdirSync(join(folder, "schemas"))) {
    const text = readFileSync(join(folder, "schemas", name), "utf8");
    const add = name.endsWith(".json") ? addOpenApi : addCustom;
    add(name, text, validators);
  }
  return validators;
}

const newAjv = () => new Ajv({ strict: false, allErrors: true, validateFormats: false });

/** A document of Kubernetes' own: its schemas refer to each other. */
function addOpenApi(name: string, text: string, validators: Schemas): void {
  const { schemas } = JSON.parse(text).components as { schemas: Record<string, Schema> };
  const components = Object.fromEntries(
    Object.entries(schemas).map(([key, schema]) => [key, strict(schema)]),
  );
  const ajv = newAjv().addSchema({ $id: name, components: { schemas: components } });
  for (const [key, schema] of Object.entries(schemas))
    for (const kind of (schema["x-kubernetes-group-version-kind"] ?? []) as GroupVersionKind[]) {
      // Options of calls are in every document, for every group.
      if (key.includes(".meta.v1.")) continue;
      const $ref = `${name}#/components/schemas/${key}`;
      validators.set(keyOf(kind), () => ajv.compile({ $ref }));
    }
}

/** The definition of a custom resource. */
function addCustom(_name: string, text: string, validators: Schemas): void {
  const { spec } = parse(text) as {
    spec: {
      group: string;
      names: { kind: string };
      versions: { name: string; schema: { openAPIV3Schema: Schema } }[];
    };
  };
  for (const { name: version, schema } of spec.versions) {
    const converted = strict(schema.openAPIV3Schema) as { properties: Schema };
    // The definition does not repeat what every object's metadata has.
    converted.properties.metadata = {
      type: "object",
      properties: {
        name: { type: "string" },
        labels: { type: "object", additionalProperties: { type: "string" } },
        annotations: { type: "object", additionalProperties: { type: "string" } },
      },
      additionalProperties: false,
    };
    const { group, names } = spec;
    validators.set(keyOf({ group, version, kind: names.kind }), () => newAjv().compile(converted));
  }
}

/** What is wrong with a manifest: each place and why. */
export function faultsOf(manifest: Manifest, schemas: Schemas): string[] {
  const { file: _, ...content } = manifest as Manifest & { file?: string };
  const validate = schemas.get(`${manifest.apiVersion} ${manifest.kind}`)?.();
  if (validate === undefined) return [`no schema for ${manifest.apiVersion} ${manifest.kind}`];
  if (validate(content)) return [];
  return (validate.errors ?? []).map(
    ({ instancePath, message, params }) =>
      `${instancePath} ${message} ${params.additionalProperty ?? ""}`,
  );
}
