// The names of the filters that resize images.

/** PIL's filters. All but "nearest" are antialiased where the image shrinks, as in PIL. */
export type Interpolation = "bilinear" | "bicubic" | "nearest" | "lanczos" | "box";

export const interpolations: readonly Interpolation[] = Object.freeze([
  "bilinear",
  "bicubic",
  "nearest",
  "lanczos",
  "box",
]);
