// A request to infer as JSON, with the bytes of its binary tensors behind it: what it asks for, checked.
import { ServeError } from "../errors.js";
import { invalid, shown } from "../protocol/expected.js";
import { checkDatatype, checkShape, readElements } from "../protocol/tensors.js";
import type { InferRequest, InputTensor, Parameter, RequestedOutput } from "../protocol/types.js";
import {
  countField,
  fieldOf,
  flagField,
  type JsonObject,
  listField,
  objectField,
  objectOf,
  textField,
} from "./json.js";
import { elementsOfJson } from "./json-tensors.js";

/** More inputs or outputs than any request needs. */
const mostInputs = 16;
const mostOutputs = 64;

/** What a request to infer says. */
export interface ParsedInfer {
  readonly asked: Pick<InferRequest, "id" | "inputs" | "outputs">;
  readonly priority: number | undefined;
  readonly timeoutMs: number | undefined;
  /** Whether an output is wanted as bytes behind the JSON. */
  readonly isBinary: (output: string) => boolean;
}

/**
 * @param json the parsed JSON
 * @param binary the bytes behind it
 * @throws {ServeError} INVALID: names the field
 */
export function parseInfer(json: unknown, binary: Uint8Array): ParsedInfer {
  const request = objectOf(json, "the request");
  const parameters = objectField(request, "parameters", "parameters");
  const bytes = new BinaryParts(binary);
  const inputs = listField(request, "inputs", mostInputs).map((input) => parseInput(input, bytes));
  bytes.end();
  checkNames(inputs, "input");
  const outputs = listField(request, "outputs", mostOutputs).map(parseOutput);
  checkNames(outputs, "output");
  const all = flagField(parameters, "binary_data_output", "binary_data_output") ?? false;
  const ways = new Map(outputs.map(({ name, isBinary = all }) => [name, isBinary]));
  // A timeout is in microseconds.
  const timeout = countField(parameters, "timeout", "timeout");
  const id = textField(request, "id", "id");
  return {
    asked: {
      ...(id && { id }),
      inputs,
      outputs: outputs.map(({ name, classification }) => ({ name, classification })),
    },
    priority: countField(parameters, "priority", "priority"),
    timeoutMs: timeout === undefined ? undefined : timeout / 1000,
    isBinary: (name) => ways.get(name) ?? all,
  };
}

/** The bytes behind the JSON, taken in the order of the inputs. */
class BinaryParts {
  readonly #bytes: Uint8Array;
  #taken = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  take(size: number, name: string): Uint8Array {
    const left = this.#bytes.length - this.#taken;
    if (size > left)
      throw invalid(
        `${size} bytes behind the JSON, as binary_data_size says,`,
        `input ${shown(name)}`,
        left,
      );
    const part = this.#bytes.subarray(this.#taken, this.#taken + size);
    this.#taken += size;
    return part;
  }

  end(): void {
    const left = this.#bytes.length - this.#taken;
    if (left > 0)
      throw new ServeError(
        "INVALID",
        `Expected no more bytes than the inputs have (unexpected additional input data): ${left} bytes behind the JSON belong to no input`,
      );
  }
}

function parseInput(value: unknown, bytes: BinaryParts): InputTensor {
  const input = objectOf(value, "an item of inputs");
  const name = nameOf(input, "input");
  const called = `input ${shown(name)}`;
  const datatype = checkDatatype(fieldOf(input, "datatype"), `the datatype of ${called}`);
  const shape = checkShape(fieldOf(input, "shape"), `the shape of ${called}`);
  const given = objectField(input, "parameters", `the parameters of ${called}`);
  const size = countField(given, "binary_data_size", `binary_data_size of ${called}`);
  const list = fieldOf(input, "data");
  if ((size === undefined) === (list === undefined))
    throw new ServeError("INVALID", `Expected either data or binary_data_size for ${called}`);
  const data =
    size === undefined
      ? elementsOfJson(datatype, shape, list, called)
      : readElements(datatype, shape, bytes.take(size, name), called);
  return { name, datatype, shape, data, parameters: remainingParameters(given) };
}

/** Returns the parameters that the front end has no use for. */
function remainingParameters(given: JsonObject): Record<string, Parameter> {
  const isParameter = (value: unknown): value is Parameter =>
    ["string", "number", "boolean"].includes(typeof value);
  return Object.fromEntries(
    Object.entries(given).filter(
      (entry): entry is [string, Parameter] =>
        entry[0] !== "binary_data_size" && isParameter(entry[1]),
    ),
  );
}

function parseOutput(value: unknown): RequestedOutput & { isBinary: boolean | undefined } {
  const output = objectOf(value, "an item of outputs");
  const name = nameOf(output, "output");
  const given = objectField(output, "parameters", `the parameters of output ${shown(name)}`);
  const count = countField(given, "classification", `classification of output ${shown(name)}`);
  return {
    name,
    classification: count === 0 ? undefined : count,
    isBinary: flagField(given, "binary_data", `binary_data of output ${shown(name)}`),
  };
}

function nameOf(object: JsonObject, kind: string): string {
  const name = textField(object, "name", `the name of an ${kind}`);
  if (name) return name;
  throw invalid("a string", `the name of an ${kind}`, name);
}

/** @throws {ServeError} INVALID: a name that occurs twice */
function checkNames(tensors: readonly { readonly name: string }[], kind: string): void {
  const names = new Set<string>();
  for (const { name } of tensors) {
    if (names.has(name))
      throw new ServeError("INVALID", `Expected each ${kind} once but ${shown(name)} occurs twice`);
    names.add(name);
  }
}
