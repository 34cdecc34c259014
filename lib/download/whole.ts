// Downloads a whole file and checks its hash. A file with another hash is not kept.
import { type Hashed, hashFile } from "../files/hash-file.js";
import { type DownloadOptions, discardPart, download, type Extent } from "./download.js";

/**
 * Downloads a file to `part`.
 * @param isRight whether this is the file
 * @param refusal the error for another one
 */
export async function downloadWhole(
  url: URL,
  part: string,
  extent: Extent,
  options: DownloadOptions,
  { isRight, refusal }: { isRight(file: Hashed): boolean; refusal(file?: Hashed): Error },
): Promise<Hashed> {
  for (let isSecond = false; ; isSecond = true) {
    const { isOfOneResponse } = await download(url, part, extent, options);
    const file = await hashFile(part, options.signal);
    if (file !== undefined && isRight(file)) return file;
    await discardPart(part);
    // Several responses may have mixed two versions of the file that the server did not tell apart: start again, once.
    if (isOfOneResponse || isSecond) throw refusal(file);
  }
}
