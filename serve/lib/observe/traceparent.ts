// W3C trace context: the traceparent header, read.

/** Version, trace id, parent id and flags. A later version may have more fields after them. */
const pattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Reads a traceparent header. Returns null if it is absent or not valid: the standard says to start a new trace then. */
export function parseTraceparent(
  header: string | null | undefined,
): { traceId: string; parentId: string; sampled: boolean } | null {
  if (header === null || header === undefined || header.length > 512) return null;
  const match = pattern.exec(header.trim());
  if (match === null) return null;
  const [, version = "", traceId = "", parentId = "", flags = "", rest] = match;
  if (version === "ff" || (version === "00" && rest !== undefined)) return null;
  if (/^0+$/.test(traceId) || /^0+$/.test(parentId)) return null;
  return { traceId, parentId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}
