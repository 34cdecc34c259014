// Errors about an image: a VggError whose message opens with where the image came from.
import { optionOf } from "../check.js";
import { type ErrorCode, VggError } from "../errors.js";
import { isError } from "../realm.js";

/** @param name the path, the URL, or "a buffer of N bytes" */
export function imageError(
  name: string,
  code: Extract<ErrorCode, `IMAGE_${string}`>,
  message: string,
  cause?: unknown,
): VggError {
  return new VggError(code, `${name}: ${message}`, cause === undefined ? undefined : { cause });
}

/** What a system or network error is called, for a message: its code if it has one, or its cause has. */
export function reasonOf(error: unknown): string {
  for (let at = error; isError(at); at = optionOf(at, "cause")) {
    const code = optionOf(at as NodeJS.ErrnoException, "code");
    if (typeof code === "string") return code;
    if (optionOf(at, "cause") === undefined) return at.message;
  }
  return String(error);
}
