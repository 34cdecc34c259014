// What the calls of a model hold until their runs start: images and bytes, in all and for each client.

interface Level {
  images: number;
  readonly clients: Map<string, number>;
}

/** Counts images that are decoded or wait, and their bytes. */
export class Backlog {
  images = 0;
  bytes = 0;
  /** By priority. One without images is absent, and so is a client. */
  readonly #levels = new Map<number, Level>();

  /** Adds images and bytes of a client, or takes them away if they are negative. */
  change(priority: number, client: string, images: number, bytes: number): void {
    this.images += images;
    this.bytes += bytes;
    const level = this.#levels.get(priority) ?? { images: 0, clients: new Map<string, number>() };
    level.images += images;
    const own = (level.clients.get(client) ?? 0) + images;
    if (own === 0) level.clients.delete(client);
    else level.clients.set(client, own);
    if (level.clients.size === 0) this.#levels.delete(priority);
    else this.#levels.set(priority, level);
  }

  /** Returns the images of a client, of all priorities. */
  imagesOf(client: string): number {
    let images = 0;
    for (const { clients } of this.#levels.values()) images += clients.get(client) ?? 0;
    return images;
  }

  /**
   * Returns how many images run before the last of `images` new ones: all of earlier priorities, all of the same
   * client, and of each other client as many as this one has.
   */
  ahead(priority: number, client: string, images: number): number {
    let ahead = 0;
    for (const [level, { images: all }] of this.#levels) if (level < priority) ahead += all;
    const { clients } = this.#levels.get(priority) ?? { clients: new Map<string, number>() };
    const own = clients.get(client) ?? 0;
    for (const [other, count] of clients)
      ahead += other === client ? count : Math.min(count, own + images);
    return ahead;
  }
}
