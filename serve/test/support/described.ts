// Adds descriptions to the schema of the options: the comments of the declarations that the options have.
import { readFileSync } from "node:fs";

/** A part of a JSON schema. */
interface Schema {
  description?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  anyOf?: Schema[];
}

const sources = ["../../lib/settings/options.ts", "../../../lib/image/preprocessing.ts"].map(
  (path) => readFileSync(new URL(path, import.meta.url), "utf8"),
);

/** The comments of an interface's properties. @throws {Error} there is no such interface */
function commentsOf(name: string): ReadonlyMap<string, string> {
  const start = `export interface ${name} {`;
  const source = sources.find((text) => text.includes(start));
  if (source === undefined) throw new Error(`Expected an interface ${name}`);
  const body = source.slice(source.indexOf(start), source.indexOf("\n}", source.indexOf(start)));
  const comments = new Map<string, string>();
  for (const [, comment, property] of body.matchAll(/\/\*\*(.*?)\*\/\s+readonly (\w+)\??:/gs))
    comments.set(
      property!,
      comment!
        .replace(/\n\s*\* /g, " ")
        .replace(/`/g, "")
        .trim(),
    );
  return comments;
}

/** The interface of what a property holds. */
const interfaces: Readonly<Record<string, string>> = {
  models: "ModelOptions",
  http: "ListenOptions",
  grpc: "ListenOptions",
  metrics: "ListenOptions",
  tls: "ListenOptions",
  access: "AccessOptions",
  limits: "LimitOptions",
  log: "LogOptions",
  batching: "BatchingOptions",
  preprocess: "Preprocessing",
};

/** What has no declaration of its own. */
const others: Readonly<Record<string, string>> = {
  $schema: "The schema of this file, for editors.",
  group: "The tokens of this group of calls.",
};

/**
 * Describes the properties of a schema and of all within it.
 * @returns the properties that have no comment
 */
export function addComments(schema: object, name = "ServeOptions", path = ""): string[] {
  const { properties, additionalProperties, anyOf = [] } = schema as Schema;
  const missing: string[] = [];
  for (const inner of [additionalProperties, ...anyOf])
    if (typeof inner === "object") missing.push(...addComments(inner, name, path));
  for (const [property, inner] of Object.entries(properties ?? {})) {
    const place = `${path}/${property}`;
    const isOther = name === "Groups" || property === "$schema";
    const comment = isOther ? (others[property] ?? others.group) : commentsOf(name).get(property);
    if (comment === undefined) missing.push(place);
    // A JSON schema is read with its description first.
    else properties![property] = { description: comment, ...inner };
    const holds = property === "groups" ? "Groups" : (interfaces[property] ?? name);
    missing.push(...addComments(properties![property]!, holds, place));
  }
  return missing;
}
