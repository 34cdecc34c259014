// The order of calls: what a call finds is what the calls before it left.
//
// A device's thread takes work first in, first out, so calls keep their order as long as each hands its work over at
// once. A step that goes on in JavaScript, such as parameters that come in pieces, cannot: what uses the same things
// waits for it here.
import { callNative, VggError } from "./errors.js";
import type { NativeDevice, NativeReservation } from "./native/addon.js";
import { onAbort } from "./signal.js";

/** Something that calls use in turn: the parameters of graphs, or a tensor on a device. */
export class Line {
  /** Settles when the next call may hand its work over; undefined if it may do so now. Never rejects. */
  blocked: Promise<void> | undefined = undefined;
}

/** Whether a call that uses these lines would have to wait. */
export function mustWait(lines: readonly Line[]): boolean {
  return lines.some((line) => line.blocked !== undefined);
}

/** Calls `work` when all calls before it have handed theirs over: now, before this returns, unless the line is blocked. */
export function inTurn<T>(line: Line, work: () => Promise<T>): Promise<T> {
  return line.blocked === undefined ? work() : waitFor([line], work);
}

/**
 * Calls `work`, which hands work over before it returns, when the lines are free. Later calls of these lines wait too.
 * @param signal leaves the queue, with `drop` called at once
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
      // Not awaited: the next may follow as soon as this has handed its work over.
      work().then(resolve, reject);
    });
  });
}

/**
 * Like `waitFor` for a call that copies arrays: copies them now, and reserves their bytes in the device's queue.
 * @param moreBytes what the call will copy back
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

/** Calls `work` when the line is free, and lets nobody else in before it has ended. */
export function asOneStep<T>(line: Line, work: () => Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    block([line], () => work().then(resolve, reject));
  });
}

/** Blocks the lines until all that blocks them now is over and `work` has ended, too. */
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
