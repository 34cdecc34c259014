// Folders made with their parents.
import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Like mkdir's own `recursive`, which never ends where a folder's parent says that it is missing (below /proc).
 * @throws {NodeJS.ErrnoException} what the system refused
 */
export async function makeFolder(path: string): Promise<void> {
  const make = () =>
    mkdir(path).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST" || !(await stat(path)).isDirectory()) throw error;
    });
  await make().catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT" || dirname(path) === path) throw error;
    await makeFolder(dirname(path));
    await make();
  });
}
