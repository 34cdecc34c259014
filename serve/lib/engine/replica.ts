// One version of a model on one device.
import { type Device, type DeviceId, openDevice, type Vgg, VggError } from "vgg-cudnn";
import type { ModelOptions } from "../settings/options.js";
import { warmUp } from "./calls.js";
import { loadModel, type ModelSource } from "./load-model.js";

/** Whether an error says that the device stopped for good. */
export const isLoss = (error: unknown) => error instanceof VggError && error.code === "DEVICE_LOST";

/** A model on a device, with what waits for it. */
export class Replica {
  readonly vgg: Vgg;
  readonly device: Device;
  /** The sizes in which runs come: powers of two up to the greatest. */
  readonly batchSizes: readonly number[];
  /** Images of the requests that it has. */
  waitingImages = 0;
  #isLost = false;

  /**
   * Opens the device, loads the weights and runs the model in each batch size.
   * @throws the errors of `Vgg.load` and `openDevice`; the reason of `signal`
   */
  static async load(source: ModelSource, deviceId: string, signal: AbortSignal): Promise<Replica> {
    const { options } = source;
    const device = await openDevice(deviceId as DeviceId, {
      ...(options.threads !== undefined && { threads: options.threads }),
      ...(options.plans !== undefined && { plans: options.plans }),
    });
    const vgg = await loadModel(source, device, signal).catch((error: unknown) => {
      device.dispose();
      throw error;
    });
    const replica = new Replica(vgg, device, sizesOf(options, device));
    try {
      if (options.warmup !== false) await warmUp(vgg, replica.batchSizes, signal);
      return replica;
    } catch (error) {
      await replica.dispose();
      throw error;
    }
  }

  private constructor(vgg: Vgg, device: Device, batchSizes: readonly number[]) {
    this.vgg = vgg;
    this.device = device;
    this.batchSizes = batchSizes;
  }

  /** Whether its GPU stopped for good. */
  get isLost(): boolean {
    return this.#isLost;
  }

  markLost(): void {
    this.#isLost = true;
  }

  /** Asks the device whether it works. A GPU that stops while nothing runs is noticed so. */
  check(): void {
    if (this.#isLost || this.device.kind !== "cuda") return;
    try {
      this.device.memoryStats();
    } catch (error) {
      if (isLoss(error)) this.markLost();
    }
  }

  /** How many images it computes in a second, as far as that is known. */
  get imagesPerSecond(): number {
    return this.vgg.batching?.imagesPerSecond ?? 0;
  }

  async dispose(): Promise<void> {
    await this.vgg.dispose();
    this.device.dispose();
  }
}

function sizesOf({ batching }: ModelOptions, { kind }: Device): number[] {
  const usual = kind === "cpu" ? 16 : 64;
  const most = batching === false ? 1 : (batching?.maxBatchSize ?? usual);
  const powers = Array.from({ length: 13 }, (_, power) => 2 ** power);
  return [...powers.filter((size) => size < most), most];
}
