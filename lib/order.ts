// The order of calls: a call sees the effects of every earlier call and of no later one.
//
// A device's thread takes work first in, first out, so calls keep their order as long as each submits its work at
// once. A step that continues in JavaScript, such as writing parameters in pieces, cannot. Later calls that use the
// same parameters or tensors wait for it here.
import { callNative, VggError } from "./errors.js";
import type { NativeDevice, NativeReservation } from "./native/addon.js";
import { onAbort } from "./signal.js";

/** The queue of a resource that calls use in turn: the parameters of graphs, or a tensor on a device. */
export class Line {
  /** Resolves when the next call may submit its work; undefined if it may do so now. Never rejects. */
  blocked: Promise<void> | undefined = undefined;
}

/** Whether a call that uses these lines would have to wait. */
export function mustWait(lines: readonly Line[]): boolean {
  return lines.some((line) => line.blocked !== undefined);
}

/** Calls `work` when all earlier calls have submitted theirs. Unless the line is blocked, that is before this returns. */
export function inTurn<T>(line: Line, work: () => Promise<T>): Promise<T> {
  return line.blocked === undefined ? work() : waitFor([line], work);
}

/**
 * Calls `work`, which submits before it returns, when the lines are free. Later calls of these lines wait too.
 * @param signal removes the call from the queue and calls `drop` at once
 * @throws the reason of `signal`; what `work` throws
 */
export function waitFor<T>(
  lines: readonly Line[],
  work: () => Promise<T>,
  signal?: AbortSignal,
  drop?: () => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let isDropped = false;
    const release = onAbort(signal, () => {
      isDropped = true;
      drop?.();
      reject(signal!.reason);
    });
    block(lines, async () => {
      release();
      if (isDropped) return;
      // Not awaited: the next call may follow as soon as this one has submitted its work.
      work().then(resolve, reject);
    });
  });
}

/**
 * Does what `waitFor` does for a call that reads arrays: copies them now, and reserves their bytes in the device's queue.
 * @param moreBytes bytes that the call will copy back
 * @throws {VggError} QUEUE_FULL, OUT_OF_MEMORY, before anything waits
 */
export function waitWithCopies<T, Data extends NodeJS.TypedArray>(
  lines: readonly Line[],
  device: NativeDevice,
  arrays: readonly Data[],
  work: (copies: readonly Data[], reservation: NativeReservation) => Promise<T>,
  signal?: AbortSignal,
  moreBytes = 0,
): Promise<T> {
  const bytes = arrays.reduce((sum, { byteLength }) => sum + byteLength, moreBytes);
  const reservation = callNative(() => device.reserve(bytes));
  let copies: readonly Data[];
  try {
    copies = arrays.map(copyArray);
  } catch (error) {
    reservation.release();
    throw error;
  }
  const drop = () => {
    copies = [];
    reservation.release();
  };
  const start = async () => {
    try {
      return await work(copies, reservation);
    } finally {
      drop();
    }
  };
  return waitFor(lines, start, signal, drop);
}

/** @throws {VggError} OUT_OF_MEMORY */
export function copyArray<Data extends NodeJS.TypedArray>(data: Data): Data {
  try {
    return data.slice() as Data;
  } catch (cause) {
    const message = `Expected ${data.byteLength} bytes of host memory for a copy but they are not available`;
    throw new VggError("OUT_OF_MEMORY", message, { cause });
  }
}

/** Calls `work` when the line is free, and blocks the line until it has ended. */
export function asOneStep<T>(line: Line, work: () => Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    block([line], () => work().then(resolve, reject));
  });
}

/** Blocks the lines until everything that blocks them now has ended, and then `work` too. */
function block(lines: readonly Line[], work: () => Promise<void>): void {
  const before = lines.map((line) => line.blocked);
  const isFree = before.every((blocked) => blocked === undefined);
  const ended = isFree ? work() : Promise.all(before).then(work);
  for (const line of lines) {
    line.blocked = ended;
    void ended.then(() => {
      if (line.blocked === ended) line.blocked = undefined;
    });
  }
}
