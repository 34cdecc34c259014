// Installs files of NVIDIA's wheels into a folder, from a package index or from a folder of wheels.
import { VggError } from "../errors.js";
import type { Installed, InstallOptions } from "./types.js";

/**
 * Places each member's file under `folder`, whole or not at all, and checks its SHA-256. A file that is there with the
 * right content stays. What a stopped or killed call received is kept beside it, and the next call goes on from there.
 * One process at a time installs into a folder, the others wait.
 * @throws {TypeError|RangeError} wrong options
 * @throws {VggError} DOWNLOAD_FAILED, HASH_MISMATCH, DISK_FULL, FOLDER_UNUSABLE; OFFLINE: `VGG_OFFLINE` is set, pip is
 * told to use no index, or a wheel is missing in `from`
 * @throws the signal's reason
 */
export async function installFiles(_options: InstallOptions): Promise<Installed> {
  throw new VggError("INTERNAL", "installFiles is not written yet");
}
