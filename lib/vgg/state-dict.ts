// Compares a state dict with a model's parameters before anything is written.
import { formatShape } from "../check.js";
import type { DType } from "../dtype.js";
import { VggError } from "../errors.js";
import {
  type AnyTensor,
  checkFloatTensor,
  checkTensor,
  type Tensor,
  tensorEntries,
} from "../tensor.js";
import type { ParameterEntry } from "./parameters.js";

/** The keys in which a state dict and a model differ. */
export interface StateDictDifference {
  /** Names that the model has and the state dict lacks. */
  readonly missing: readonly string[];
  /** Names that the state dict has and the model lacks. */
  readonly unexpected: readonly string[];
}

/** Options of `loadStateDict`. */
export interface LoadStateDictOptions {
  /** Whether missing and unexpected keys are errors. Otherwise they are returned. Default true. */
  strict?: boolean | undefined;
}

/** Tensors by name. */
export type StateDict =
  | ReadonlyMap<string, Tensor<DType>>
  | Readonly<Record<string, Tensor<DType>>>;

/** A parameter or statistic of a model. Only the counters, `num_batches_tracked`, are int64. */
export type ParameterTensor = Tensor<"float32"> | Tensor<"int64">;

/** Checks and returns a tensor for a parameter. @throws {TypeError} not a Tensor, or a dtype that cannot be converted */
export function checkParameter({ name, dtype }: ParameterEntry, tensor: unknown): AnyTensor {
  return dtype === "float32" ? checkFloatTensor(tensor, name) : checkTensor(tensor, name, dtype);
}

/**
 * Returns the tensors that are in the table, and the keys that differ.
 * @throws {TypeError} not a Map or object of Tensors, another dtype @throws {RangeError} data that were transferred
 * @throws {VggError} STATE_DICT_MISMATCH with every misshapen key and, if `strict`, every missing and unexpected key
 */
export function matchStateDict(
  arch: string,
  table: ReadonlyMap<string, ParameterEntry>,
  tensors: StateDict,
  strict: boolean,
): { fitting: [string, AnyTensor][]; difference: StateDictDifference } {
  const given = tensorEntries(tensors, "tensors");
  const missing = [...table.values()].filter(
    ({ name, isOptional }) => !isOptional && !given.has(name),
  );
  const unexpected = [...given.keys()].filter((name) => !table.has(name));
  const misshapen: string[] = [];
  const fitting: [string, AnyTensor][] = [];
  for (const [name, tensor] of given) {
    const entry = table.get(name);
    if (entry === undefined) continue;
    checkParameter(entry, tensor);
    if (formatShape(tensor.shape) === formatShape(entry.shape)) fitting.push([name, tensor]);
    else
      misshapen.push(
        `${name} (expected ${formatShape(entry.shape)}, received ${formatShape(tensor.shape)})`,
      );
  }
  const difference = { missing: missing.map(({ name }) => name), unexpected };
  if (misshapen.length > 0 || (strict && (missing.length > 0 || unexpected.length > 0))) {
    const lists = {
      "Missing keys": strict ? difference.missing : [],
      "Unexpected keys": strict ? unexpected : [],
      "Other shapes": misshapen,
    };
    const lines = Object.entries(lists).flatMap(([title, keys]) =>
      keys.length > 0 ? [`${title}: ${keys.join(", ")}`] : [],
    );
    throw new VggError(
      "STATE_DICT_MISMATCH",
      `Expected the state dict of ${arch} for tensors but it differs.\n${lines.join("\n")}`,
    );
  }
  return { fitting, difference };
}
