// Who may call which group of the API. Tokens are kept and compared as SHA-256 digests only.
import { createHash, timingSafeEqual } from "node:crypto";

/** The groups of calls, by Triton's names. Each may ask for another token. */
export const apiGroups = Object.freeze([
  "health",
  "metadata",
  "inference",
  "model-config",
  "statistics",
  "model-repository",
] as const);

/** A name of `apiGroups`. */
export type ApiGroup = (typeof apiGroups)[number];

/** The tokens that the server accepts, each as "sha256:" and the 64 hexadecimal digits of its digest. */
export interface TokenSettings {
  /** Open every group but health, which needs no token, and model-repository. Absent: these groups need none. */
  readonly tokens?: readonly string[] | undefined;
  /** Open every group. Absent: nobody can load or unload models. */
  readonly admin?: readonly string[] | undefined;
  /** The tokens of single groups, instead of `tokens`. */
  readonly groups?: Readonly<Partial<Record<ApiGroup, readonly string[]>>> | undefined;
}

/** What became of a token: the caller may go on, and by what name; or why not. */
export type Verdict =
  | { readonly allowed: true; readonly holder: string | undefined }
  | { readonly allowed: false; readonly reason: string };

const storedToken = /^sha256:[0-9a-f]{64}$/i;

/** Whether a text is a token as a configuration has it. */
export function isStoredToken(text: unknown): text is string {
  return typeof text === "string" && storedToken.test(text);
}

/** Returns a token as a configuration has it. */
export function storedTokenOf(token: string): string {
  return `sha256:${digestOf(token).toString("hex")}`;
}

/** Decides by tokens. The settings are checked before. */
export class Tokens {
  readonly #admin: readonly Buffer[];
  /** Undefined: the group is open to all. */
  readonly #groups: ReadonlyMap<ApiGroup, readonly Buffer[] | undefined>;

  constructor({ tokens, admin = [], groups = {} }: TokenSettings) {
    this.#admin = digestsOf(admin)!;
    const usual = (group: ApiGroup) => {
      if (group === "health") return undefined;
      return group === "model-repository" ? [] : tokens;
    };
    this.#groups = new Map(
      apiGroups.map((group) => [group, digestsOf(groups[group] ?? usual(group))]),
    );
  }

  /** @param authorization the header "Bearer TOKEN", or what stands for it in gRPC's metadata */
  check(group: ApiGroup, authorization: string | null | undefined): Verdict {
    const token = /^Bearer +(\S+) *$/i.exec(authorization ?? "")?.[1];
    const digest = token === undefined ? undefined : digestOf(token);
    const accepted = this.#groups.get(group);
    const isKnown =
      digest !== undefined && (isAmong(digest, this.#admin) || isAmong(digest, accepted ?? []));
    if (isKnown) return { allowed: true, holder: digest.toString("hex").slice(0, 16) };
    if (accepted === undefined) return { allowed: true, holder: undefined };
    if (accepted.length === 0 && this.#admin.length === 0)
      return {
        allowed: false,
        reason: `The calls of ${group} are off: start the server with a token for them`,
      };
    return {
      allowed: false,
      reason:
        token === undefined
          ? `Expected the header "Authorization: Bearer TOKEN" for the calls of ${group}`
          : `Expected another token for the calls of ${group}`,
    };
  }
}

function digestOf(token: string): Buffer {
  return createHash("sha256").update(token, "utf8").digest();
}

function digestsOf(stored: readonly string[] | undefined): readonly Buffer[] | undefined {
  return stored?.map((text) => Buffer.from(text.slice("sha256:".length), "hex"));
}

/** Compares with every digest, so that the time does not tell which one is equal. */
function isAmong(digest: Buffer, digests: readonly Buffer[]): boolean {
  return digests.reduce((found, other) => timingSafeEqual(digest, other) || found, false);
}
