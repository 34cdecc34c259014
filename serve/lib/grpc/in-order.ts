// A stream of requests that are worked on at the same time and answered in their order.

/**
 * Starts the work on each item as it arrives, and yields the results in the order of the items.
 * @param work never rejects
 * @param limit items under way at the same time; further ones are not read
 * @param stop ends the reading; what is under way is still answered
 */
export async function* inOrder<In, Out>(
  items: AsyncIterable<In>,
  work: (item: In) => Promise<Out>,
  limit: number,
  stop?: AbortSignal,
): AsyncGenerator<Out> {
  const iterator = items[Symbol.asyncIterator]();
  const pending: Promise<Out>[] = [];
  const [stopped, forget] = untilAborted(stop);
  let reading: Promise<IteratorResult<In>> | null = null;
  let isOpen = true;
  try {
    while (isOpen || pending.length > 0) {
      if (isOpen && pending.length < limit) reading ??= iterator.next();
      const [oldest] = pending;
      const event = await Promise.race([
        ...(isOpen ? [stopped] : []),
        ...(isOpen && reading !== null ? [reading.then((read) => ({ read }))] : []),
        ...(oldest !== undefined ? [oldest.then((answer) => ({ answer }))] : []),
      ]);
      if ("answer" in event) {
        pending.shift();
        yield event.answer;
      } else if ("stop" in event || event.read.done === true) {
        isOpen = false;
      } else {
        reading = null;
        pending.push(work(event.read.value));
      }
    }
  } finally {
    forget();
    // The source may still wait for its next item, so that nobody waits for its end.
    reading?.catch(() => {});
    iterator.return?.()?.catch(() => {});
  }
}

/** Returns a promise that resolves when a signal fires, and a function that stops listening. */
function untilAborted(signal: AbortSignal | undefined): [Promise<{ stop: true }>, () => void] {
  let onAbort = () => {};
  const stopped = new Promise<{ stop: true }>((resolve) => {
    onAbort = () => resolve({ stop: true });
  });
  if (signal?.aborted) onAbort();
  signal?.addEventListener("abort", onAbort);
  return [stopped, () => signal?.removeEventListener("abort", onAbort)];
}
