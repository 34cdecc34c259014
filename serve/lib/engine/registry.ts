// The models by name and version: their states, and how they are loaded, replaced and unloaded while requests go on.
import { ServeError, toServeError } from "../errors.js";
import type { Settings } from "../settings/check.js";
import type { ModelOptions } from "../settings/options.js";
import { configOf, metadataOf } from "./describe.js";
import { byNumber, type Entry, type Loaded, loadedOf, type Slot, unloaded } from "./entry.js";
import { layerShapes } from "./outputs.js";
import { ServedModel } from "./served-model.js";
import type { ModelConfig, ModelIndexEntry, ModelMetadata, Registry } from "./types.js";
import { findVersions, type VersionFile } from "./versions.js";

/** What the registry tells others. */
export interface RegistryEvents {
  /** A version takes requests now, or its model was replaced. */
  onLoaded(model: ServedModel): void;
  onUnloaded(name: string, version: string): void;
  /** A model has lost its last device, and no fallback is configured. */
  onLost(name: string): void;
  /** A message for the log. */
  say(level: "info" | "warn" | "error", fields: object, message: string): void;
}

/** The configured models. */
export class ModelRegistry implements Registry {
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #maxPixels: number | undefined;
  readonly #events: RegistryEvents;
  readonly #closing = new AbortController();
  /** Whether each device works, by its id. */
  readonly #devices = new Map<string, boolean>();
  /** Models that end when their last request has ended. */
  readonly #retiring = new Set<Promise<void>>();

  constructor({ models, limits }: Pick<Settings, "models" | "limits">, events: RegistryEvents) {
    this.#maxPixels = limits.maxPixels;
    this.#events = events;
    this.#entries = new Map(
      [...models].map(([name, options]) => [
        name,
        { name, options, slots: new Map(), turn: Promise.resolve() },
      ]),
    );
  }

  /** The names of the models. */
  names(): string[] {
    return [...this.#entries.keys()];
  }

  models(): ModelIndexEntry[] {
    return [...this.#entries.values()].flatMap(({ name, slots }) =>
      [...slots].map(([version, { state, reason }]) => ({ name, version, state, reason })),
    );
  }

  /** The versions that take requests. */
  loaded(): ServedModel[] {
    return [...this.#entries.values()].flatMap(({ slots }) =>
      [...slots.values()].flatMap(({ loaded }) => (loaded === undefined ? [] : [loaded.model])),
    );
  }

  /**
   * Returns what takes requests of a model.
   * @param version undefined: the newest
   * @throws {ServeError} NOT_FOUND, UNAVAILABLE
   */
  find(name: string, version?: string): Loaded {
    return loadedOf(this.#entryOf(name), version);
  }

  /** Returns the name of the model of a request that names none. @throws {ServeError} INVALID: there are several */
  onlyName(): string {
    const names = this.names();
    if (names.length === 1) return names[0]!;
    throw new ServeError("INVALID", `Expected the name of a model, one of ${names.join(", ")}`);
  }

  metadata(name: string, version?: string): ModelMetadata {
    const { options, slots } = this.#entryOf(name);
    const versions = [...slots].flatMap(([each, { loaded }]) => (loaded ? [each] : []));
    return metadataOf(this.find(name, version).model, options, versions.sort(byNumber));
  }

  config(name: string, version?: string): ModelConfig {
    return configOf(this.find(name, version).model, this.optionsOf(name));
  }

  /** What a model is configured with. */
  optionsOf(name: string): ModelOptions {
    return this.#entryOf(name).options;
  }

  load(name: string): Promise<void> {
    const entry = this.#entryOf(name);
    return this.#inTurn(entry, () => this.#load(entry, entry.options.devices ?? ["auto"]));
  }

  unload(name: string): Promise<void> {
    const entry = this.#entryOf(name);
    return this.#inTurn(entry, async () => {
      const slots = [...entry.slots.entries()];
      for (const [version, slot] of slots) await this.#unload(entry, version, slot, unloaded);
    });
  }

  /** What is under way, by version. */
  *waiting() {
    for (const { name: model, version, requests, waitingImages: images } of this.loaded())
      yield { model, version, requests, images };
  }

  /** How long the last load of each version took. */
  *loads() {
    for (const { name: model, version, loadSeconds: seconds } of this.loaded())
      yield { model, version, seconds };
  }

  /** The devices that models were loaded onto. */
  *devices() {
    for (const [device, up] of this.#devices) yield { device, up };
  }

  /** Asks each device whether it works. */
  check(): void {
    for (const model of this.loaded()) model.check();
  }

  /** Stops loading, waits for the requests that are under way, and gives all memory back. */
  async close(): Promise<void> {
    this.#closing.abort(new ServeError("UNAVAILABLE", "The server is shutting down"));
    await Promise.all([...this.#entries.values()].map(({ turn }) => turn));
    for (const entry of this.#entries.values())
      for (const [version, slot] of entry.slots)
        await this.#unload(entry, version, slot, "the server is shutting down");
    await Promise.all(this.#retiring);
  }

  #entryOf(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry !== undefined) return entry;
    throw new ServeError(
      "NOT_FOUND",
      `Request for unknown model: '${name.slice(0, 128)}' is not found`,
    );
  }

  /** Loads and unloads of one model follow one another. */
  #inTurn(entry: Entry, work: () => Promise<void>): Promise<void> {
    const result = entry.turn.then(work);
    entry.turn = result.catch(() => {});
    return result;
  }

  async #load(entry: Entry, devices: readonly string[]): Promise<void> {
    const { name } = entry;
    try {
      this.#closing.signal.throwIfAborted();
      const files = await findVersions(entry.options);
      let failure: unknown;
      for (const file of files)
        await this.#loadVersion(entry, file, devices).catch((error: unknown) => {
          failure ??= error;
        });
      for (const [version, slot] of [...entry.slots])
        if (!files.some((file) => file.version === version)) {
          await this.#unload(entry, version, slot, unloaded);
          entry.slots.delete(version);
        }
      if (failure !== undefined) throw failure;
    } catch (error) {
      if (entry.slots.size === 0)
        entry.slots.set("1", { state: "UNAVAILABLE", reason: wordsOf(error), loaded: undefined });
      this.#events.say("error", { model: name, error }, "a model was not loaded");
      const known = toServeError(error);
      if (known.kind === "UNAVAILABLE") throw known;
      throw new ServeError("INVALID", `failed to load '${name}': ${wordsOf(error)}`, {
        cause: error,
      });
    }
  }

  /** Loads a version beside the present one, and swaps when it is warm. A failure leaves the present one. */
  async #loadVersion(
    entry: Entry,
    { version, weights }: VersionFile,
    devices: readonly string[],
  ): Promise<void> {
    const { name, options } = entry;
    const slot = entry.slots.get(version) ?? newSlot();
    entry.slots.set(version, slot);
    const before = slot.loaded;
    if (before !== undefined && options.reload === "replace") {
      slot.loaded = undefined;
      slot.state = "LOADING";
      await before.model.retire();
    }
    if (slot.loaded === undefined) slot.state = "LOADING";
    slot.reason = "";
    try {
      const model = await ServedModel.load(
        version,
        { name, weights, options, maxPixels: this.#maxPixels, devices },
        { signal: this.#closing.signal, onLoss: (lost) => this.#handleLoss(entry, version, lost) },
      );
      const replaced = slot.loaded;
      slot.loaded = { model, shapes: layerShapes(model.vgg) };
      slot.state = "READY";
      for (const { device } of model.replicas) this.#devices.set(device.id, true);
      this.#events.onLoaded(model);
      const fields = { model: name, version, seconds: model.loadSeconds };
      this.#events.say("info", { ...fields, devices: devicesOf(model) }, "a model is ready");
      if (replaced !== undefined) this.#retire(replaced.model);
    } catch (error) {
      slot.reason = wordsOf(error);
      if (slot.loaded === undefined) slot.state = "UNAVAILABLE";
      throw error;
    }
  }

  async #unload(entry: Entry, version: string, slot: Slot, reason: string): Promise<void> {
    const { loaded } = slot;
    slot.loaded = undefined;
    slot.reason = reason;
    if (loaded === undefined) {
      slot.state = "UNAVAILABLE";
      return;
    }
    slot.state = "UNLOADING";
    await loaded.model.retire();
    slot.state = "UNAVAILABLE";
    this.#events.onUnloaded(entry.name, version);
  }

  #retire(model: ServedModel): void {
    const ending = model
      .retire()
      .catch((error: unknown) =>
        this.#events.say("error", { model: model.name, error }, "a model was not freed"),
      )
      .finally(() => this.#retiring.delete(ending));
    this.#retiring.add(ending);
  }

  /** A device of a model is lost. Others go on; without any, the fallback takes over or the server is told. */
  #handleLoss(entry: Entry, version: string, lost: ServedModel): void {
    const { name } = entry;
    const gone = lost.replicas.filter(({ isLost }) => isLost).map(({ device }) => device.id);
    for (const device of gone) this.#devices.set(device, false);
    this.#events.say("error", { model: name, version, devices: gone }, "a device was lost");
    const slot = entry.slots.get(version);
    if (lost.isAlive || slot?.loaded?.model !== lost) return;
    slot.loaded = undefined;
    slot.state = "UNAVAILABLE";
    slot.reason = `${gone.join(", ")} stopped after a fatal error`;
    this.#retire(lost);
    const tell = () => this.#events.onLost(name);
    if (entry.options.fallback === "cpu")
      this.#inTurn(entry, () => this.#load(entry, ["cpu"])).catch(tell);
    else tell();
  }
}

function newSlot(): Slot {
  return { state: "LOADING", reason: "", loaded: undefined };
}

function devicesOf({ replicas }: ServedModel): string[] {
  return replicas.map(({ device }) => device.id);
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
