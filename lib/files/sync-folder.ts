// Writes a folder to the disk, so that a rename in it survives a crash.
import { open } from "node:fs/promises";

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder).catch(() => undefined); // some file systems cannot open folders
  await handle?.sync().catch(() => {});
  await handle?.close().catch(() => {});
}
