// One version of a model on its devices: which device takes a request, and what happens when a device is lost.
import type { Vgg } from "vgg-cudnn";
import { ServeError } from "../errors.js";
import type { ModelSource } from "./load-model.js";
import { isLoss, Replica } from "./replica.js";

/** A version that is loaded. It gives its memory back when its last request has ended. */
export class ServedModel {
  readonly name: string;
  readonly version: string;
  readonly replicas: readonly Replica[];
  /** How long the load took, with the first runs. */
  readonly loadSeconds: number;
  readonly #onLoss: (model: ServedModel) => void;
  #requests = 0;
  #onIdle: (() => void) | undefined;

  /** Loads the model onto each device, one after the other. @throws the errors of `Replica.load` */
  static async load(
    version: string,
    source: ModelSource & { readonly devices: readonly string[] },
    {
      signal,
      onLoss,
    }: { readonly signal: AbortSignal; readonly onLoss: (model: ServedModel) => void },
  ): Promise<ServedModel> {
    const start = performance.now();
    const replicas: Replica[] = [];
    try {
      for (const device of source.devices)
        replicas.push(await Replica.load(source, device, signal));
    } catch (error) {
      for (const replica of replicas) await replica.dispose();
      throw error;
    }
    const seconds = (performance.now() - start) / 1000;
    return new ServedModel(source.name, version, replicas, seconds, onLoss);
  }

  private constructor(
    name: string,
    version: string,
    replicas: readonly Replica[],
    loadSeconds: number,
    onLoss: (model: ServedModel) => void,
  ) {
    this.name = name;
    this.version = version;
    this.replicas = replicas;
    this.loadSeconds = loadSeconds;
    this.#onLoss = onLoss;
  }

  /** The model on the first device. All have the same labels, shapes and preprocessing. */
  get vgg(): Vgg {
    return this.replicas[0]!.vgg;
  }

  /** The images of the largest run. */
  get maxBatchSize(): number {
    return this.replicas[0]!.batchSizes.at(-1)!;
  }

  /** Images whose runs have not started. */
  get waitingImages(): number {
    return this.replicas.reduce((sum, { vgg }) => sum + (vgg.batching?.waitingImages ?? 0), 0);
  }

  /** Whether a device works. */
  get isAlive(): boolean {
    return this.replicas.some(({ isLost }) => !isLost);
  }

  /** Requests that are under way. */
  get requests(): number {
    return this.#requests;
  }

  /** Keeps the model until the result is disposed. */
  acquire(): Disposable {
    this.#requests += 1;
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#requests -= 1;
        if (this.#requests === 0) this.#onIdle?.();
      },
    };
  }

  /**
   * Makes a call on the device that has the least to do. If that device is lost, another one takes the call.
   * @throws {ServeError} UNAVAILABLE if no device works; what the call throws
   */
  async run<Result>(images: number, call: (vgg: Vgg) => Promise<Result>): Promise<Result> {
    for (;;) {
      const replica = this.#leastBusy();
      replica.waitingImages += images;
      try {
        return await call(replica.vgg);
      } catch (error) {
        if (!isLoss(error)) throw error;
        if (!replica.isLost) {
          replica.markLost();
          this.#onLoss(this);
        }
      } finally {
        replica.waitingImages -= images;
      }
    }
  }

  /** Asks the devices whether they work. */
  check(): void {
    for (const replica of this.replicas) {
      const wasLost = replica.isLost;
      replica.check();
      if (replica.isLost && !wasLost) this.#onLoss(this);
    }
  }

  /** Waits for the last request and gives the memory back. Nobody may acquire the model after this. */
  async retire(): Promise<void> {
    if (this.#requests > 0)
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    for (const replica of this.replicas) await replica.dispose();
  }

  #leastBusy(): Replica {
    const alive = this.replicas.filter(({ isLost }) => !isLost);
    if (alive.length === 0)
      throw new ServeError("UNAVAILABLE", `Model '${this.name}' has no device that works`, {
        retryAfterSeconds: 10,
      });
    // Of devices whose speed is known, the one that would be done first.
    const areTimed = alive.every(({ imagesPerSecond }) => imagesPerSecond > 0);
    const work = (one: Replica) =>
      areTimed ? (one.waitingImages + 1) / one.imagesPerSecond : one.waitingImages;
    return alive.reduce((best, one) => (work(one) < work(best) ? one : best));
  }
}
