// The rate at which one client may call: a bucket of tokens for each client, and a bound on the number of buckets.
import { isIPv6 } from "node:net";

/** Clients that are remembered. With more, the one that has been idle longest is forgotten. */
const maxClients = 10_000;

interface Bucket {
  /** Calls that may start at once, at `time`. */
  calls: number;
  /** Milliseconds. */
  time: number;
}

/** Limits the calls of each client: `perSecond` in the long run, and as many at once after a pause. */
export class Rate {
  readonly #perSecond: number;
  readonly #most: number;
  readonly #now: () => number;
  /** By client, the one that called last at the end. */
  readonly #buckets = new Map<string, Bucket>();

  /** @param now the time in milliseconds; default: the monotonic clock */
  constructor(perSecond: number, now: () => number = () => performance.now()) {
    this.#perSecond = perSecond;
    this.#most = Math.max(1, perSecond);
    this.#now = now;
  }

  /** Takes one call. Returns 0, or the seconds until the client may call again. */
  take(client: string): number {
    const time = this.#now();
    const bucket = this.#buckets.get(client) ?? { calls: this.#most, time };
    const regained = ((time - bucket.time) / 1000) * this.#perSecond;
    bucket.calls = Math.min(this.#most, bucket.calls + regained);
    bucket.time = time;
    this.#buckets.delete(client);
    this.#buckets.set(client, bucket);
    if (this.#buckets.size > maxClients) this.#buckets.delete(this.#buckets.keys().next().value!);
    if (bucket.calls < 1) return (1 - bucket.calls) / this.#perSecond;
    bucket.calls -= 1;
    return 0;
  }
}

/**
 * Returns the name of the client at an address. One subscriber has a whole IPv6 network of 64 bits, so that only these
 * count. An IPv4 address within IPv6 is the IPv4 address.
 */
export function clientOfAddress(address: string | undefined): string {
  if (address === undefined) return "unknown";
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(address)) return address;
  const [head = "", tail] = address.replace(/%.*$/, "").split("::");
  const first = head === "" ? [] : head.split(":");
  const last = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : 8 - first.length - last.length;
  const groups = [...first, ...Array.from({ length: zeros }, () => "0"), ...last];
  return `${groups.slice(0, 4).join(":")}::/64`;
}
