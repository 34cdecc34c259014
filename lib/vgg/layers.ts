// The names of a network's layers: torchvision's modules, and its groups "features" and "classifier".
import { describe, typeError } from "../check.js";
import { nearest } from "../suggestion.js";
import { logitsName, type Topology } from "./topology.js";

type Digit = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9;
/** vgg19_bn has the most modules in `features`: 53. */
type FeatureIndex = Digit | `${1 | 2 | 3 | 4}${Digit}` | 50 | 51 | 52;
type ClassifierIndex = 0 | 1 | 2 | 3 | 4 | 5 | 6;

/** A layer that at least one of the eight architectures has. */
type KnownLayer =
  | "features"
  | "avgpool"
  | "classifier"
  | `features.${FeatureIndex}`
  | `classifier.${ClassifierIndex}`;

// `string & {}` keeps the literals visible, which `string` would absorb.
/**
 * The name of a layer, as in torchvision: a module such as "features.8" or "avgpool", or a group: "features" is the
 * output of the last pool, "classifier" the logits. Editors complete the names of all architectures. Any string is
 * accepted by the type; a call refuses a name that its network does not have.
 */
export type LayerName = KnownLayer | (string & {});

/** Returns the names that may be requested: the groups, and the modules in the order in which they run. */
export function layerNames({ modules }: Topology): string[] {
  return [...modules.map(({ name }) => name), "features", "classifier"];
}

/**
 * Returns the module that outputs a layer.
 * @param argument the argument's name, for the error
 * @throws {TypeError} not a string @throws {RangeError} no such layer
 */
export function moduleOf(topology: Topology, layer: unknown, argument: string): string {
  const { arch, modules } = topology;
  if (typeof layer !== "string") throw typeError("the name of a layer", argument, layer);
  if (layer === "features") return modules.findLast(({ kind }) => kind === "maxPool2d")!.name;
  if (layer === "classifier") return logitsName;
  if (modules.some(({ name }) => name === layer)) return layer;
  const close = /^(features|classifier)\.\d+$/.test(layer)
    ? undefined
    : nearest(layer, layerNames(topology));
  const advice =
    close === undefined
      ? `: features.0 … ${moduleOf(topology, "features", argument)}, avgpool, classifier.0 … ${logitsName}, features, classifier`
      : `; did you mean ${close}?`;
  throw new RangeError(
    `Expected a layer of ${arch} for ${argument} but received ${describe(layer)}${advice}`,
  );
}
