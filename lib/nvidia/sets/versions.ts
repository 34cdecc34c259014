// Versions of Python packages and the names of their wheels, as far as NVIDIA's packages use them (PEP 440, PEP 427).

/**
 * Returns the numbers of a final release: [9, 28, 1, 4]. Undefined for pre-releases, development releases and whatever is
 * no version. A post-release counts as its release, followed by its number.
 */
export function releaseOf(version: string): readonly number[] | undefined {
  const match =
    /^v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:(?:[-_.]?(?:post|rev|r)[-_.]?|-)(\d+))?(?:\+[a-z0-9.]+)?$/i.exec(
      version.trim(),
    );
  if (match === null) return undefined;
  const [, epoch = "0", release, post] = match;
  const numbers = release!.split(".").map(Number);
  while (numbers.length > 1 && numbers.at(-1) === 0) numbers.pop(); // 13.0 is 13
  return [Number(epoch), ...numbers, ...(post === undefined ? [] : [-1, Number(post) + 1])];
}

/** Compares what `releaseOf` returns. Positive: the first is newer. */
export function compareReleases(a: readonly number[], b: readonly number[]): number {
  // A post-release, after -1, is newer than its release and older than a release with one number more.
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = rank(a[i]) - rank(b[i]);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The end of a release is before a post-release, which is before any further number. */
const rank = (number: number | undefined) =>
  number === undefined ? -2 : number === -1 ? -1 : number;

/** The parts of a wheel's name. */
export interface WheelName {
  readonly version: string;
  /** Node's name of the system and the processor; undefined for others. */
  readonly platform: string | undefined;
}

const platforms: readonly [string, RegExp][] = [
  ["linux-x64", /^manylinux.*_x86_64$/],
  ["linux-arm64", /^manylinux.*_aarch64$/],
  ["win32-x64", /^win_amd64$/],
  ["win32-arm64", /^win_arm64$/],
];

/** Reads the name of a wheel's file. Undefined for other files. */
export function readWheelName(file: string): WheelName | undefined {
  const match = /^[^-]+-([^-]+)(?:-\d[^-]*)?-[^-]+-[^-]+-([^-]+)\.whl$/.exec(file);
  if (match === null) return undefined;
  const [, version, tags] = match as unknown as [string, string, string];
  const found = platforms.find(([, pattern]) => tags.split(".").some((tag) => pattern.test(tag)));
  return { version, platform: found?.[0] };
}
