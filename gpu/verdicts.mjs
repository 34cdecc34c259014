// Evaluates measured rows: the speed relative to each peer, and whether the goals were reached.

const ours = "vgg-cudnn";

/** The last row of a kind, which was measured in the same rounds as the peer. */
const find = (rows, name, precision, batch, mode) =>
  rows.findLast(
    (row) =>
      row.name === name && row.precision === precision && row.batch === batch && row.mode === mode,
  );

/** Our median against each peer's in the same mode. Above 1 we are faster. */
export function ratiosOf(rows) {
  return rows
    .filter(({ name }) => name !== ours)
    .flatMap(({ name, precision, batch, mode, ms }) => {
      // Our last row before it, because a combination may be measured again with another peer.
      const at = rows.findIndex((row) => row.ms === ms);
      const own = find(rows.slice(0, at), ours, precision, batch, mode);
      return own ? [{ peer: name, precision, batch, mode, ratio: ms.p50 / own.ms.p50 }] : [];
    });
}

/** The goals for one H200 that could be judged, with the measured values. */
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
