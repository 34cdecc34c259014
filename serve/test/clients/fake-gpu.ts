// The fake GPU of test/fake-cuda as the device of a server, and how it is made to fail.
import { closeSync, existsSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const libraries =
  process.env.VGG_FAKE_CUDA ?? fileURLToPath(new URL("../../../build/fake-cuda", import.meta.url));

/** Whether the fake GPU is built. Otherwise it prints that, or fails if the tools are required. */
export function hasFakeGpu(): boolean {
  if (existsSync(join(libraries, "libcuda.so.1"))) return true;
  const text = "clients: the fake GPU is not built: npm run build:fake-cuda";
  if (process.env.VGG_REQUIRE_TOOLS === "1") throw new Error(text);
  console.log(`${text}; its test is skipped`);
  return false;
}

/** Fields of test/fake-cuda/control.h by their offsets. */
const offsets = { calls: 8, failAt: 16, failKind: 24, failed: 32, devicesLost: 168 };

/** An error after which the context is lost: kFakeCudaIllegalAddress. */
const illegalAddress = 4;

/** A new GPU, with its control block in a folder. */
export function fakeGpu(folder: string) {
  const path = join(folder, "fake-gpu");
  const file = openSync(path, "w+");
  ftruncateSync(file, 1024);
  const get = (name: keyof typeof offsets) => {
    const value = new BigInt64Array(1);
    readSync(file, value, 0, 8, offsets[name]);
    return Number(value[0]);
  };
  const set = (name: keyof typeof offsets, value: number) =>
    writeSync(file, BigInt64Array.of(BigInt(value)), 0, 8, offsets[name]);
  return {
    env: {
      VGG_CUDA_PATH: libraries,
      FAKE_CUDA_CONTROL: path,
      XDG_CACHE_HOME: join(folder, "fake-gpu-cache"),
    },
    get isLost() {
      return get("devicesLost") > 0;
    },
    /** Makes a call fail that comes soon. Calls that come first are too fast to name the next one, so that it is done again. */
    breakSoon() {
      if (get("failed") > 0) return;
      set("failKind", illegalAddress);
      set("failAt", get("calls") + 8);
    },
    repair: () => set("failAt", 0),
    close: () => closeSync(file),
  };
}
