// Whether the environment forbids the network.

/** Whether `VGG_OFFLINE` has a value other than 0. An empty value counts as unset. */
export function isOffline(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): boolean {
  return !["0", "", undefined].includes(environment.VGG_OFFLINE);
}
