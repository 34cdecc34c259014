// What a job is: images with their keys. And what becomes of an image: a result, or a failure with its code.
import { shown } from "../protocol/expected.js";

/** An image of a job: its key, and one of the three. */
export interface JobImage {
  /** What the result is found by: 1 to 512 characters. */
  readonly key: string;
  /** An http or https URL that the worker may open. */
  readonly url?: string;
  /** An absolute path in a folder that the worker may open. */
  readonly path?: string;
  /** The bytes of the image in base64, or a data: URL of them. */
  readonly data?: string;
}

/** The data of a job. */
export interface JobData {
  /** Up to 1000 images, each with another key. */
  readonly images: readonly JobImage[];
}

/** Codes of failures that are not the library's: the job or one of its images is not as it must be, or may not be opened. */
export type WorkerErrorCode = "JOB_INVALID" | "IMAGE_NOT_ALLOWED";

/** A refusal with its code. `isTemporary`: another try may succeed. */
export class Refusal extends Error {
  readonly code: string;
  readonly isTemporary: boolean;

  constructor(code: string, message: string, isTemporary = false) {
    super(message);
    this.code = code;
    this.isTemporary = isTemporary;
  }
}

const forms = ["url", "path", "data"] as const;

/**
 * Checks the data of a job.
 * @throws {Refusal} JOB_INVALID: Expected … for NAME but received …
 */
export function checkJob(data: unknown, maxImages: number): readonly JobImage[] {
  const job = record(data, "job", ["images"]);
  const { images } = job;
  if (!Array.isArray(images) || images.length === 0 || images.length > maxImages)
    throw invalid(`an array of 1 to ${maxImages}`, "images", images);
  const keys = new Set<string>();
  return images.map((image, index) => {
    const name = `images[${index}]`;
    const given = record(image, name, ["key", ...forms]);
    const { key } = given;
    if (typeof key !== "string" || key === "" || key.length > 512)
      throw invalid("1 to 512 characters", `${name}.key`, key);
    // Redis would have the same key for all of these.
    if (/\p{Surrogate}/u.test(key)) throw invalid("well-formed Unicode", `${name}.key`, key);
    if (keys.has(key)) throw invalid("another key for each image", `${name}.key`, key);
    keys.add(key);
    const present = forms.filter((form) => given[form] !== undefined);
    if (present.length !== 1)
      throw invalid("one of url, path and data", name, present.join(" and ") || "none");
    const value = given[present[0]!];
    if (typeof value !== "string" || value === "")
      throw invalid("a text", `${name}.${present[0]}`, value);
    return { key, [present[0]!]: value };
  });
}

function record(value: unknown, name: string, known: readonly string[]): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid("an object", name, value);
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) throw invalid(`only ${known.join(", ")}`, name, unknown);
  const own = known.filter((key) => Object.hasOwn(value, key));
  return Object.fromEntries(own.map((key) => [key, (value as Record<string, unknown>)[key]]));
}

function invalid(expected: string, name: string, received: unknown): Refusal {
  return new Refusal(
    "JOB_INVALID",
    `Expected ${expected} for ${name} but received ${shown(received)}`,
  );
}
