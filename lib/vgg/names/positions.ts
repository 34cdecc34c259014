// Finds where a tensor's name fits a VGG: its group, layer and leaf, whatever segments wrappers put before and between.
import { optionOf } from "../../check.js";
import { visible } from "../../visible.js";

/** Whose names a file has. */
export type Scheme = "torchvision" | "timm" | "tutorial";

/** The part of a name that fits a VGG. */
export interface Position {
  /** What comes before the group, with its last dot: "model.", or "". */
  readonly prefix: string;
  /** The whole name of the group, such as "model.features" or "pre_logits". */
  readonly group: string;
  /** The whole names of all groups in which the name lies: "classifier.head.weight" lies in two. */
  readonly groups: readonly string[];
  readonly scheme: Scheme;
  /** torchvision's name. Undefined if the name lies in the group but is no parameter of a numbered layer. */
  readonly parameter: string | undefined;
}

interface Group {
  readonly scheme: Scheme;
  /** Returns torchvision's layer for a segment, if the segment is one. */
  readonly layer: (segment: string) => string | undefined;
}

const isNumber = (segment: string) => /^(0|[1-9]\d{0,2})$/.test(segment);
const numbered =
  (group: string): Group["layer"] =>
  (segment) =>
    isNumber(segment) ? `${group}.${segment}` : undefined;
const listed =
  (layers: Readonly<Record<string, string>>): Group["layer"] =>
  (segment) =>
    optionOf(layers, segment);

const groups: ReadonlyMap<string, Group> = new Map<string, Group>([
  ["features", { scheme: "torchvision", layer: numbered("features") }],
  ["classifier", { scheme: "torchvision", layer: numbered("classifier") }],
  // timm's linear layers are convolutions (4096, 512, 7, 7) and (4096, 4096, 1, 1): the same values in the same order.
  ["pre_logits", { scheme: "timm", layer: listed({ fc1: "classifier.0", fc2: "classifier.3" }) }],
  ["head", { scheme: "timm", layer: listed({ fc: "classifier.6" }) }],
  ["conv_layers", { scheme: "tutorial", layer: numbered("features") }],
  ["linear_layers", { scheme: "tutorial", layer: numbered("classifier") }],
]);

const leaves = new Set(["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]);
/** No wrapper nests this deep. The bound keeps the search linear in the length of a hostile file's names. */
const maxSegments = 32;

/** Finds the position of a name, or returns undefined if no segment is a group of a VGG. */
export function positionOf(name: string): Position | undefined {
  const segments = name.split(".", maxSegments + 1);
  if (segments.length > maxSegments) return undefined;
  const leaf = segments.pop()!;
  let end = name.length - leaf.length - 1;
  let position: Omit<Position, "groups"> | undefined;
  const around: string[] = [];
  // The last group counts, so that a network under "features." or "classifier." is found too.
  for (let at = segments.length - 1; at >= 0; at--) {
    const segment = segments[at]!;
    const group = groups.get(segment);
    const start = end - segment.length;
    if (group !== undefined) {
      around.push(name.slice(0, end));
      const layer = leaves.has(leaf) ? layerIn(group, segments.slice(at + 1)) : undefined;
      const parameter = layer === undefined ? undefined : `${layer}.${leaf}`;
      if (position === undefined || (position.parameter === undefined && parameter !== undefined)) {
        const { scheme } = group;
        position = { prefix: name.slice(0, start), group: name.slice(0, end), scheme, parameter };
      }
    }
    end = start - 1;
  }
  return position && { ...position, groups: around };
}

/** Skips the segments of wrappers up to the layer. What follows the layer is a wrapper's too, such as Sequential's number. */
function layerIn(group: Group, segments: readonly string[]): string | undefined {
  for (const segment of segments) {
    const layer = group.layer(segment);
    if (layer !== undefined) return layer;
    if (isNumber(segment)) return undefined;
  }
  return undefined;
}

const maxShownLength = 100;

/** Returns a name for a message: at most 100 characters, and none that a terminal would obey. */
export function shownName(name: string): string {
  return visible(name.length > maxShownLength ? `${name.slice(0, maxShownLength - 1)}…` : name);
}
