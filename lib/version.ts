// The version of this package. It is written here because a bundled program has no package.json to read it from.

/** The version of this package. */
export const version: string = "0.1.0";
