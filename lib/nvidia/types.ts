// What is installed of NVIDIA's packages, and how the caller follows it.
import type { Progress } from "../download/download.js";

/** A file of a wheel that is installed. */
export interface WheelMember {
  /** The name in the wheel, such as `nvidia/cudnn/lib/libcudnn.so.9`. */
  readonly path: string;
  /** The SHA-256 of the file, 64 hexadecimal digits. */
  readonly sha256: string;
  /** Bytes of the file. */
  readonly size: number;
  /** Where it is installed: a path with `/` relative to the folder, such as `libcudnn.so.9`. */
  readonly to: string;
}

/** A wheel of NVIDIA's, and the files that are installed from it. */
export interface Wheel {
  /** The name of the project, such as `nvidia-cudnn-cu13`. */
  readonly name: string;
  readonly version: string;
  /** The name of the wheel's file. */
  readonly file: string;
  /** The SHA-256 of the wheel, 64 hexadecimal digits. */
  readonly sha256: string;
  /** Bytes of the wheel. */
  readonly size: number;
  readonly members: readonly WheelMember[];
}

/** The environment's variables, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Options of `installFiles`. */
export interface InstallOptions {
  /** The folder that receives the files. It is made if it does not exist. */
  folder: string;
  wheels: readonly Wheel[];
  /** The address of a package index, as `--index` gives it. Default: what `resolveIndex` finds. */
  index?: string | undefined;
  /** A folder with the wheels' files. Nothing is downloaded then. */
  from?: string | undefined;
  /** Stops at once. What came is kept for the next call. */
  signal?: AbortSignal | undefined;
  /**
   * Called as bytes arrive, and each second while another process installs into the folder. `totalBytes` is undefined
   * until the wheels' directories are read. With `from`, it counts the bytes of the wheels as they are read.
   */
  onProgress?: ((progress: Progress) => void) | undefined;
  /** Default `process.env`. */
  environment?: Environment | undefined;
  /** A try fails if no byte arrives for this time, 1 … 86,400,000 ms. Default 30,000, or pip's `timeout`. */
  timeoutMs?: number | undefined;
  /** The number of consecutive retries that may bring no new byte, 0 … 100. Default 4. */
  retries?: number | undefined;
  /** The delay before the first retry, 0 … 60,000 ms. Each further retry waits twice as long. Default 500. */
  retryDelayMs?: number | undefined;
}

/** What `installFiles` did. */
export interface Installed {
  /** The members' `to` that were placed by this call. */
  readonly placed: readonly string[];
  /** The members' `to` that were there already, with the right content. */
  readonly present: readonly string[];
  /** Bytes that this call received from the network. */
  readonly receivedBytes: number;
}
