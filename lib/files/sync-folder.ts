// Makes a rename in a folder last: after a crash a file has its old or its new name.
import { open } from "node:fs/promises";

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder).catch(() => undefined); // some file systems cannot open folders
  await handle?.sync().catch(() => {});
  await handle?.close().catch(() => {});
}
