// What probes are told: whether a device works, and whether every model can serve.
import type { ModelRegistry } from "./engine/registry.js";
import type { Health } from "./engine/types.js";
import { ServeError } from "./errors.js";

/** The health of a server. The length of the queue has no part in it: that would take all replicas out at once. */
export class ServerHealth implements Health {
  readonly #registry: ModelRegistry;
  #isDraining = false;
  /** Models without a device. */
  readonly #lost = new Set<string>();

  constructor(registry: ModelRegistry) {
    this.#registry = registry;
  }

  /** From now on the server is not ready. */
  drain(): void {
    this.#isDraining = true;
  }

  /** A model has lost its last device. */
  lose(model: string): void {
    this.#lost.add(model);
  }

  live(): boolean {
    const { size } = this.#lost;
    return size === 0 || size < this.#registry.names().length;
  }

  ready(): { readonly ready: boolean; readonly reason?: string } {
    if (this.#isDraining) return { ready: false, reason: "The server is shutting down" };
    for (const name of this.#registry.names()) {
      const reason = this.#problemOf(name);
      if (reason !== undefined) return { ready: false, reason };
    }
    return { ready: true };
  }

  modelReady(name: string, version?: string): boolean {
    if (this.#isDraining) return false;
    try {
      this.#registry.find(name, version);
      return true;
    } catch (error) {
      if (error instanceof ServeError && error.kind === "UNAVAILABLE") return false;
      throw error;
    }
  }

  #problemOf(name: string): string | undefined {
    if (this.#lost.has(name)) return `Model '${name}' has no device that works`;
    try {
      this.#registry.find(name);
      return undefined;
    } catch (error) {
      return error instanceof ServeError ? error.message : `Model '${name}' is not ready`;
    }
  }
}
