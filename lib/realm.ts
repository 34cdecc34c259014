// Values of other realms (node:vm, Jest) and of other copies of this package, for which `instanceof` is false.
import { types } from "node:util";

/** Whether a value is an error of any realm (the addon's are of another one under Jest) or inherits from Error, as DOMException does. */
export function isError(value: unknown): value is Error {
  return types.isNativeError(value) || value instanceof Error;
}

/** Whether a value is a URL of any realm. Its tag is the same in all of them. */
export function isUrl(value: unknown): value is URL {
  return (
    Object.prototype.toString.call(value) === "[object URL]" && URL.canParse((value as URL).href)
  );
}

/** One symbol for all copies of this package; each copy stores a different value under it. */
const copyKey = Symbol.for("vgg-cudnn.copy");
const thisCopy = {};

/** Marks a public class, so that messages can explain why another copy rejects its instances. */
export function markCopy(type: { readonly prototype: object }): void {
  Object.defineProperty(type.prototype, copyKey, { value: thisCopy });
}

/** Whether this package was loaded twice and the other copy made this object. */
export function isOfAnotherCopy(value: object): boolean {
  return ![undefined, thisCopy].includes((value as { [copyKey]?: object })[copyKey]);
}
