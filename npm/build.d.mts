// The types of build.mjs, for `vgg build`.
export class BuildError extends Error {}
export function build(root: string, options?: { isClean?: boolean }): Promise<string>;
