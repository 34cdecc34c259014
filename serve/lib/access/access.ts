// Decides for each call who makes it, and whether it may be made: first the client's rate, then its token.
import { ServeError } from "../errors.js";
import { clientOfAddress, Rate } from "./rate.js";
import { type ApiGroup, type TokenSettings, Tokens } from "./tokens.js";

/** Who may call, and how often. */
export interface AccessSettings extends TokenSettings {
  /** Calls that one client may make in a second, and at once after a pause. Absent: there is no limit. */
  readonly requestsPerSecond?: number | undefined;
}

/** Checks calls of either protocol. */
export class Access {
  readonly #tokens: Tokens;
  readonly #rate: Rate | undefined;

  constructor(settings: AccessSettings = {}) {
    this.#tokens = new Tokens(settings);
    const { requestsPerSecond } = settings;
    this.#rate = requestsPerSecond === undefined ? undefined : new Rate(requestsPerSecond);
  }

  /**
   * @param authorization the header "Bearer TOKEN", if there is one
   * @param address the address of the other side
   * @returns the client: its token's name, or else its address
   * @throws {ServeError} RATE or UNAUTHENTICATED
   */
  admit(
    group: ApiGroup,
    authorization: string | null | undefined,
    address: string | undefined,
  ): string {
    const verdict = this.#tokens.check(group, authorization);
    const holder = verdict.allowed ? verdict.holder : undefined;
    const client = holder === undefined ? clientOfAddress(address) : `token ${holder}`;
    // Probes of health come from the cluster itself, and must not fail for their number.
    const seconds = group === "health" ? 0 : (this.#rate?.take(client) ?? 0);
    if (seconds > 0)
      throw new ServeError("RATE", "Expected fewer calls of one client in a second", {
        retryAfterSeconds: seconds,
      });
    if (!verdict.allowed) throw new ServeError("UNAUTHENTICATED", verdict.reason);
    return client;
  }
}
