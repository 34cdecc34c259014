// `npm run docs:check`: whether the docstrings of all public names are complete. Prints what they lack, a line each.
import { fileURLToPath } from "node:url";

const { Application, ReflectionKind } = await import("typedoc").catch((error) => {
  if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
  console.error("Expected typedoc but it is not installed; run: npm ci --prefix typedoc");
  process.exit(1);
});

const callable = ReflectionKind.Function | ReflectionKind.Method;
const documented =
  ReflectionKind.Class |
  ReflectionKind.Interface |
  ReflectionKind.TypeAlias |
  ReflectionKind.Variable |
  ReflectionKind.Property |
  ReflectionKind.Accessor |
  callable;
/** Methods that every class has: a docstring would repeat their names. */
const usual = /^(toString|\[.*\])$/;
/** A unit, or the thing that is counted. A name may have the unit at its end. */
const unit =
  /\b(ms|milliseconds|pixels|bytes|[KMG]iB|integer|number of|number above|images|runs)\b/i;
const unitOfName = /(Ms|Bytes|Pixels)$/;

const textOf = (comment) => (comment?.summary ?? []).map(({ text }) => text).join("");
const isSentence = (text) => /^\S.*[.:]\s*$/s.test(text);

/** The names that a declaration lies below, as in `GraphBuilder.conv2d.options.stride`. */
const nameOf = (one) =>
  one
    .getFullName()
    .replaceAll(".__type", "")
    .replace(/\b(\w+)\.\1\./, "$1.");

/** The docstrings of a declaration: one for each signature, or its own. Inherited ones do not count. */
function commentsOf(one) {
  const all = one.kindOf(callable) ? one.signatures.map(({ comment }) => comment) : [];
  if (all.length === 0) all.push(one.getSignature?.comment ?? one.comment);
  return all.map((comment) => (comment?.inheritedFromParentDeclaration ? undefined : comment));
}

/** Whether a caller may give this property: it belongs to an interface of options or to an argument. */
function isOption({ parent, kind }) {
  if (kind !== ReflectionKind.Property) return false;
  for (let above = parent; above; above = above.parent) {
    if (above.kindOf(ReflectionKind.Parameter)) return true;
    if (above.kindOf(ReflectionKind.Interface)) return above.name.endsWith("Options");
  }
  return false;
}

/** Whether the values of a type are plain, so that the absence of one stands for another. */
function isPlain(type) {
  if (type?.type === "union") return type.types.every(isPlain);
  if (type?.type === "intrinsic") return ["number", "boolean", "string"].includes(type.name);
  return type?.type === "literal";
}

/** Yields what an option lacks. */
function* lacksOfOption({ name, comment, flags, type }) {
  const text = textOf(comment);
  if (flags.isOptional && isPlain(type) && !/\bdefault\b/i.test(text)) yield "its default";
  const isNumber = type?.type === "intrinsic" && type.name === "number";
  if (isNumber && !unit.test(text) && !unitOfName.test(name)) yield "its unit, or what it counts";
}

/** Yields what the docstrings of a declaration lack. */
function* lacksOf(one) {
  const comments = commentsOf(one);
  if (!comments.every((comment) => isSentence(textOf(comment)))) yield "a sentence";
  const hasExample = comments.some((comment) => comment?.getTag("@example") !== undefined);
  if (one.kindOf(ReflectionKind.Class | callable) && !hasExample) yield "an @example";
  if (isOption(one)) yield* lacksOfOption(one);
}

/** Whether a declaration is this package's, and its docstring its own. */
function isChecked(one) {
  if (!one.kindOf(documented) || one.inheritedFrom !== undefined || usual.test(one.name))
    return false;
  // An override has the docstring of the declaration that it overrides.
  if (one.overwrites !== undefined) return false;
  // The docstring of a method describes the fields of the object that it returns.
  if (
    one.parent?.kindOf(ReflectionKind.TypeLiteral) &&
    one.parent.parent?.kindOf(ReflectionKind.CallSignature)
  )
    return false;
  // A narrower type of an option, which its interface describes: `options: RunOptions & { into: Into }`.
  if (/\.options\.into$/.test(one.getFullName().replaceAll(".__type", ""))) return false;
  // A property that must be absent, as `outputs?: never`.
  if (one.type?.name === "undefined") return false;
  // The messages of the codes say what they mean.
  if (one.parent?.parent?.name === "errorCodes") return false;
  // The fields of unnamed types that are no options follow from the method that records them.
  const path = one.getFullName().split(".");
  return path[0] !== "unnamed" || path.length === 2 || isOption(one);
}

const app = await Application.bootstrapWithPlugins({
  options: fileURLToPath(new URL("typedoc.json", import.meta.url)),
  validation: { notExported: true },
  // Editors show what these helper types give: the values of Architecture and LayerName, and the type of each array and result.
  intentionallyNotExported: [
    ...["lib/vgg/topology.ts:family", "lib/vgg/layers.ts:KnownLayer"],
    ...["lib/dtype.ts:DataTypes", "lib/dtype.ts:UsualDType"],
    ...["lib/graph/call.ts:NewTensor", "lib/graph/call.ts:NewTensorUnless"],
  ],
});
const project = await app.convert();
if (project === undefined) process.exit(1);
project.packageName = "vgg-cudnn"; // typedoc looks only for unexported types of the entry's own package
app.validate(project);
const declarations = Object.values(project.reflections).filter(isChecked);
const lines = declarations.flatMap((one) =>
  [...lacksOf(one)].map((what) => `${nameOf(one)} lacks ${what}`),
);
for (const line of lines.sort()) console.log(line);
console.log(`${declarations.length} public declarations, ${lines.length} lacks`);
if (lines.length > 0 || app.logger.hasErrors() || app.logger.hasWarnings()) process.exitCode = 1;
