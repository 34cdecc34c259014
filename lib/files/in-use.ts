// Repeats steps that Windows refuses while another program has a file open.
import { setTimeout as delay } from "node:timers/promises";
import { inUseCodes } from "./errors.js";

const patienceMs = 1_000;
const pauseMs = 20;

/**
 * Runs a step that replaces, removes, renames or opens a file. Windows refuses it while another program, such as a virus
 * scanner, has the file open, or while the file is being removed. The step is then tried again for a second.
 * @param platform tests give another system's name
 * @throws {NodeJS.ErrnoException} the system's error
 */
export async function despiteUse<T>(
  step: () => Promise<T>,
  platform: NodeJS.Platform = process.platform,
): Promise<T> {
  const endMs = performance.now() + patienceMs;
  for (;;) {
    try {
      return await step();
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (platform !== "win32" || !inUseCodes.includes(code) || performance.now() >= endMs)
        throw error;
      await delay(pauseMs);
    }
  }
}
