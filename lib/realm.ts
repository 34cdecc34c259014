// Values of other realms (node:vm, Jest) and of other copies of this package, for which `instanceof` says no.
import { types } from "node:util";

/** Errors of each realm, which the addon's are under Jest, and what only inherits from Error, as DOMException does. */
export function isError(value: unknown): value is Error {
  return types.isNativeError(value) || value instanceof Error;
}

/** A URL of each realm: what realms agree on is its tag. */
export function isUrl(value: unknown): value is URL {
  return (
    Object.prototype.toString.call(value) === "[object URL]" && URL.canParse((value as URL).href)
  );
}

/** One symbol in all copies of this package; each copy puts a value of its own there. */
const copyKey = Symbol.for("vgg-cudnn.copy");
const thisCopy = {};

/** Marks a public class, so that messages can tell why its instances do not pass in another copy. */
export function markCopy(type: { readonly prototype: object }): void {
  Object.defineProperty(type.prototype, copyKey, { value: thisCopy });
}

/** Whether this package was loaded twice, and the other copy made this. */
export function isOfAnotherCopy(value: object): boolean {
  return ![undefined, thisCopy].includes((value as { [copyKey]?: object })[copyKey]);
}
