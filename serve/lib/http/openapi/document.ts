// The OpenAPI document of the routes, which the server itself serves.

import type { Route } from "../routes.js";
import { type Operation, operations } from "./operations.js";
import { ref, type Schema, schemas } from "./schemas.js";

/** The statuses of failures, by the table of errors. */
const failures: Readonly<Record<number, string>> = {
  400: "The request is wrong; `error` names the field.",
  401: "There is no token, or another one is needed.",
  404: "The model or version is unknown.",
  413: "The body, an image or a list is too large.",
  415: "The body's encoding is unknown; Accept-Encoding has those that are known.",
  429: "The client calls too often; Retry-After says when to try again.",
  500: "The server has a defect.",
  503: "The server cannot do it now; Retry-After says when to try again.",
  504: "The deadline passed, or cannot be met.",
};

/** Failures that every call may have. */
const anyFailures = [401, 429, 500];

/** Makes the document. @param server what `GET /v2` says */
export function openApiDocument(
  routes: readonly Route[],
  server: { readonly name: string; readonly version: string },
): Schema {
  const paths: Record<string, Record<string, Schema>> = {};
  for (const route of routes) {
    const path = templateOf(route.path);
    paths[path] ??= {};
    paths[path][route.method.toLowerCase()] = describe(route, path);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "vgg-cudnn-serve",
      version: server.version,
      description:
        "Open Inference Protocol v2 with Triton's extensions, and calls that take images.",
      license: { name: "MIT", identifier: "MIT" },
    },
    paths,
    components: {
      schemas,
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
    },
    // A server without tokens asks for none.
    security: [{ token: [] }, {}],
  };
}

/** Returns a path as OpenAPI writes it: `{model}` for `:model`. */
export function templateOf(path: string): string {
  return path.replace(/:(\w+)(\{[^}]+\})?/g, "{$1}");
}

function describe(route: Route, path: string): Schema {
  const operation = operations[route.operation]!;
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
  const inPath = names.map((name) => ({
    name,
    in: "path",
    required: true,
    schema: name === "version" ? { type: "string", pattern: "^[0-9]+$" } : { type: "string" },
  }));
  // An operation with several paths has an id for each.
  const suffix = names.filter((name) => name !== "model").map((name) => `_${name}`);
  const parameters = [...inPath, ...(operation.parameters ?? [])];
  return {
    operationId: [route.operation, ...suffix].join(""),
    summary: operation.summary,
    tags: [route.group],
    ...(parameters.length > 0 && { parameters }),
    ...(operation.body && {
      requestBody: {
        required: operation.body.required,
        content: contentOf(operation.body.content),
      },
    }),
    responses: responsesOf(operation, route),
  };
}

function responsesOf({ answer, failures: own }: Operation, { group, operation }: Route): Schema {
  const content = contentOf(answer.content);
  const { headers } = answer;
  const statuses = [...own, ...anyFailures].sort();
  const failed = { "application/json": { schema: ref("Error") } };
  return {
    200: { description: "Done.", ...(headers && { headers }), content },
    ...Object.fromEntries(
      statuses.map((status) => [status, { description: failures[status], content: failed }]),
    ),
    // A probe that fails has the same body as one that succeeds.
    ...(group === "health" && { 503: { description: `Not ${operation}.`, content } }),
  };
}

function contentOf(content: Readonly<Record<string, Schema>>): Schema {
  return Object.fromEntries(Object.entries(content).map(([type, schema]) => [type, { schema }]));
}
