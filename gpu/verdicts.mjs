// What measured rows say: how many times faster than each peer, and whether the goals were reached.

const ours = "vgg-cudnn";

/** The last row of a kind: what was measured in the same rounds as the peer. */
const find = (rows, name, precision, batch, mode) =>
  rows.findLast(
    (row) =>
      row.name === name && row.precision === precision && row.batch === batch && row.mode === mode,
  );

/** Ours against each peer in the same mode, at the median: above 1 we are faster. */
export function ratiosOf(rows) {
  return rows
    .filter(({ name }) => name !== ours)
    .flatMap(({ name, precision, batch, mode, ms }) => {
      // The last of ours before it: a combination may be measured again beside another peer.
      const at = rows.findIndex((row) => row.ms === ms);
      const own = find(rows.slice(0, at), ours, precision, batch, mode);
      return own ? [{ peer: name, precision, batch, mode, ratio: ms.p50 / own.ms.p50 }] : [];
    });
}

/** Goals for one H200; each that could be judged, with what was found. */
export function verdictsOf(rows) {
  const verdicts = [];
  const judge = (goal, value, wanted, reached) => {
    if (value !== undefined && !Number.isNaN(value))
      verdicts.push({ goal, value, wanted, reached });
  };
  const one = find(rows, ours, "float16", 1, "device, queued");
  if (one) judge("float16, batch 1, ms", one.ms.p50, "at most 0.125", one.ms.p50 <= 0.125);
  for (const [precision, least] of [
    ["float16", 38_000],
    ["tf32", 18_000],
  ]) {
    const row = find(rows, ours, precision, 256, "device, queued");
    if (row)
      judge(
        `${precision}, batch 256, images/s`,
        row.imagesPerSecond,
        `at least ${least}`,
        row.imagesPerSecond >= least,
      );
  }
  for (const { peer, precision, batch, mode, ratio } of ratiosOf(rows))
    if (peer === "PyTorch compiled" && mode === "device, queued")
      judge(
        `${precision}, batch ${batch}, times as fast as torch.compile`,
        ratio,
        "at least 1.3",
        ratio >= 1.3,
      );
  const onDevice = find(rows, ours, "float16", 256, "device, queued");
  const fromHost = find(rows, ours, "float16", 256, "pixels, queued");
  if (onDevice && fromHost) {
    const share = fromHost.imagesPerSecond / onDevice.imagesPerSecond;
    judge(
      "float16, batch 256, speed from host pixels ÷ speed on the device",
      share,
      "at least 0.9",
      share >= 0.9,
    );
  }
  return verdicts;
}
