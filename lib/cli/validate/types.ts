// What `vgg validate` reports.

import type { ValidationSummary } from "../../vgg/validation.js";
import type { FolderClasses } from "./folder-classes.js";

export interface Report {
  readonly summary: ValidationSummary;
  /** The number of images that could not be read. */
  readonly failed: number;
  readonly folders: FolderClasses;
  readonly classesWithoutFolder: readonly number[];
  readonly foldersWithoutImages: readonly string[];
  readonly seconds: number;
  readonly imagesPerSecond: number;
  readonly device: string;
  /** The name of a class: the model's label, or its folder's name, or its number. */
  readonly labelOf: (index: number) => string;
  readonly folderOf: (index: number) => string | undefined;
}
