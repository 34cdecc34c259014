// Draws charts as SVG without a library: a frame with title, legend and axes, and lines or bars in it.

/** Okabe and Ito's colours, which the colour-blind can distinguish, and greys for everything but data. */
export const colours = {
  blue: "#0072b2",
  sky: "#56b4e9",
  green: "#009e73",
  orange: "#e69f00",
  vermillion: "#d55e00",
  purple: "#a8578a",
  paper: "#ffffff",
  ink: "#1c2733",
  muted: "#5b6876",
  grid: "#e4e8ed",
  axis: "#9aa5b1",
} as const;

type Colour = (typeof colours)[keyof typeof colours];

export interface Series {
  readonly label: string;
  readonly colour: Colour;
  readonly style: "line" | "dashed";
  /** The y of each x, or null if there is no value. */
  readonly values: readonly (number | null)[];
  /** Formats the text of a point, shown if there is room: below the lowest of several points, above the others. */
  readonly textOf: (value: number) => string;
}

export interface Band {
  readonly label: string;
  readonly colour: Colour;
  readonly from: readonly number[];
  readonly to: readonly number[];
}

export interface LineChart {
  readonly title: string;
  readonly subtitle: string;
  readonly xTitle: string;
  readonly yTitle: string;
  readonly yScale: "linear" | "log";
  /** The labels of the x axis, evenly spaced. */
  readonly x: readonly string[];
  readonly series: readonly Series[];
  readonly bands?: readonly Band[];
}

export interface Bar {
  readonly label: string;
  readonly detail: string;
  readonly value: number;
  /** A line across the bar. */
  readonly mark: { readonly value: number; readonly colour: Colour } | null;
  /** The text at the end of the bar. */
  readonly text: string;
}

export interface BarChart {
  readonly title: string;
  readonly subtitle: string;
  readonly xTitle: string;
  readonly barLabel: string;
  readonly colour: Colour;
  readonly marks: readonly { readonly label: string; readonly colour: Colour }[];
  readonly bars: readonly Bar[];
}

interface Key {
  readonly label: string;
  readonly colour: Colour;
  readonly shape: "line" | "dashed" | "band" | "bar" | "mark";
}

const width = 960;
const padding = 32;
const fonts = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif";

const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
const escaped = (text: string) => text.replace(/[&<>]/g, (character) => escapes[character]!);
const round = (value: number) => Number(value.toFixed(2));

interface TextStyle {
  readonly size?: number;
  readonly colour?: Colour;
  readonly anchor?: "start" | "middle" | "end";
  readonly weight?: 400 | 600;
  /** Rotation in degrees about (x, y). */
  readonly turn?: number;
}

function text(x: number, y: number, content: string, style: TextStyle = {}): string {
  const { size = 13, colour = colours.muted, anchor = "start", weight = 400, turn } = style;
  const turned = turn === undefined ? "" : ` transform="rotate(${turn} ${round(x)} ${round(y)})"`;
  return `<text x="${round(x)}" y="${round(y)}" font-size="${size}" fill="${colour}" text-anchor="${anchor}" font-weight="${weight}"${turned}>${escaped(content)}</text>`;
}

/** Draws a text with an outline, so that it stays readable over a line. */
function outlined(x: number, y: number, content: string, style: TextStyle): string[] {
  const outline = `stroke="${colours.paper}" stroke-width="4" stroke-linejoin="round"`;
  return [`<g ${outline}>${text(x, y, content, style)}</g>`, text(x, y, content, style)];
}

function line(x1: number, y1: number, x2: number, y2: number, colour: Colour, extra = ""): string {
  return `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" stroke="${colour}"${extra}/>`;
}

/** Estimates the width of a text without measuring a font. */
function widthOf(content: string, size = 13): number {
  const narrow = content.match(/[fijlrtI .,:;'|()]/g)?.length ?? 0;
  const wide = content.match(/[mwMWGO%–]/g)?.length ?? 0;
  return size * (0.61 * content.length - 0.25 * narrow + 0.24 * wide);
}

/** Returns ticks from 0 to at least `most`, in steps of 1, 2 or 5 times a power of ten. */
export function linearTicks(most: number, count = 6): number[] {
  const rough = (most > 0 ? most : 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough)!;
  const last = Math.ceil((most > 0 ? most : 1) / step - 1e-9);
  return Array.from({ length: last + 1 }, (_, i) => Number((i * step).toPrecision(12)));
}

/** Returns powers of ten from at most `least` to at least `most`. Up to three decades also get 2 and 5 times them. */
export function logTicks(least: number, most: number): number[] {
  const decades = Math.log10(most / least);
  const factors = decades > 3 ? [1] : [1, 2, 5];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(least)); power <= Math.ceil(Math.log10(most)); power++)
    for (const factor of factors) ticks.push(Number((factor * 10 ** power).toPrecision(12)));
  const first = ticks.findLastIndex((tick) => tick <= least);
  const last = ticks.findIndex((tick) => tick >= most);
  return ticks.slice(first, last + 1);
}

const tickText = (tick: number) => tick.toLocaleString("en-US", { maximumFractionDigits: 6 });

function legend(keys: readonly Key[], y: number): string[] {
  let x = padding;
  return keys.flatMap(({ label, colour, shape }) => {
    const at = x;
    x += 30 + widthOf(label) + 22;
    const swatch = {
      line: `${line(at, y, at + 22, y, colour, ' stroke-width="2.5"')}<circle cx="${at + 11}" cy="${y}" r="4" fill="${colour}"/>`,
      dashed: line(at, y, at + 22, y, colour, ' stroke-width="2.5" stroke-dasharray="6 4"'),
      band: `<rect x="${at}" y="${y - 7}" width="22" height="14" rx="2" fill="${colour}" fill-opacity="0.22"/>`,
      bar: `<rect x="${at}" y="${y - 7}" width="22" height="14" rx="2" fill="${colour}"/>`,
      mark: line(at + 11, y - 9, at + 11, y + 9, colour, ' stroke-width="3.5"'),
    }[shape];
    return [swatch, text(at + 30, y + 4.5, label, { colour: colours.ink })];
  });
}

function frame(
  { title, subtitle }: { title: string; subtitle: string },
  keys: readonly Key[],
  height: number,
  body: readonly string[],
): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${fonts}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="${colours.paper}"/>`,
    text(padding, 46, title, { size: 22, colour: colours.ink, weight: 600 }),
    text(padding, 70, subtitle),
    ...legend(keys, 102),
    ...body,
    "</svg>",
    "",
  ].join("\n");
}

const top = 140;

/** Draws lines over a few ordered categories, such as batch sizes. */
export function lineChart(chart: LineChart): string {
  const { series, bands = [], x, yScale } = chart;
  const height = 560;
  const bottom = height - 76;
  const numbers = [
    ...series.flatMap(({ values }) => values.filter((value) => value !== null)),
    ...bands.flatMap(({ from, to }) => [...from, ...to]),
  ].filter((value) => value > 0);
  const most = numbers.length > 0 ? Math.max(...numbers) : 1;
  const least = numbers.length > 0 ? Math.min(...numbers) : 1;
  // Leave room for the texts beyond the outermost points.
  const ticks = yScale === "log" ? logTicks(least / 1.25, most * 1.25) : linearTicks(most * 1.08);
  const scale = yScale === "log" ? Math.log10 : (value: number) => value;
  const [lowest, highest] = [scale(ticks[0]!), scale(ticks.at(-1)!)];
  const placeY = (value: number) =>
    bottom - ((scale(value) - lowest) / (highest - lowest)) * (bottom - top);
  const left = padding + 34 + Math.max(...ticks.map((tick) => widthOf(tickText(tick))));
  const right = width - padding;
  const step = (right - left) / x.length;
  const placeX = (index: number) => left + step * (index + 0.5);

  const body = ticks.flatMap((tick) => [
    line(left, placeY(tick), right, placeY(tick), colours.grid),
    text(left - 12, placeY(tick) + 4.5, tickText(tick), { anchor: "end" }),
  ]);
  body.push(line(left, bottom, right, bottom, colours.axis));
  for (const [index, label] of x.entries())
    body.push(
      line(placeX(index), bottom, placeX(index), bottom + 6, colours.axis),
      text(placeX(index), bottom + 24, label, { anchor: "middle", colour: colours.ink }),
    );
  body.push(
    text((left + right) / 2, bottom + 52, chart.xTitle, { anchor: "middle" }),
    text(padding, (top + bottom) / 2, chart.yTitle, { anchor: "middle", turn: -90 }),
  );
  for (const { colour, from, to } of bands) {
    const upper = to.map((value, i) => `${round(placeX(i))},${round(placeY(value))}`);
    const lower = from.map((value, i) => `${round(placeX(i))},${round(placeY(value))}`).reverse();
    const points = [...upper, ...lower].join(" ");
    // Draw an outline, because a band has no area with a single x or if `from` equals `to`.
    body.push(
      `<polygon points="${points}" fill="${colour}" fill-opacity="0.22" stroke="${colour}" stroke-opacity="0.45" stroke-width="1.5"/>`,
    );
  }
  const points = series.map(({ values }) =>
    values.map((value, i) =>
      // A logarithmic axis cannot show 0.
      value === null || (value <= 0 && yScale === "log")
        ? null
        : { value, x: placeX(i), y: placeY(value) },
    ),
  );
  for (const [index, { colour, style }] of series.entries()) {
    const shown = points[index]!.filter((point) => point !== null);
    const path = shown.map((point) => `${round(point.x)},${round(point.y)}`).join(" ");
    const dashes = style === "dashed" ? ' stroke-dasharray="6 5"' : "";
    body.push(
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2.5" stroke-linejoin="round"${dashes}/>`,
      ...shown.map((point) =>
        style === "line"
          ? `<circle cx="${round(point.x)}" cy="${round(point.y)}" r="5" fill="${colour}" stroke="${colours.paper}" stroke-width="1.5"/>`
          : line(point.x - 9, point.y, point.x + 9, point.y, colour, ' stroke-width="2.5"'),
      ),
    );
  }
  for (const index of x.keys()) {
    const column = series
      .map(({ colour, textOf }, i) => ({ colour, textOf, point: points[i]![index]! }))
      .filter(({ point }) => point !== null)
      .sort((a, b) => a.point.y - b.point.y);
    for (const [rank, { colour, textOf, point }] of column.entries()) {
      const isLowest = rank > 0 && rank === column.length - 1;
      const above = column[rank - 1]?.point.y ?? Number.NEGATIVE_INFINITY;
      const isCrowded = !isLowest && point.y - above < 36;
      if (isCrowded) continue;
      const y = point.y + (isLowest ? 24 : -13);
      body.push(
        ...outlined(point.x, y, textOf(point.value), { anchor: "middle", weight: 600, colour }),
      );
    }
  }
  const keys: Key[] = [
    ...series.map(({ label, colour, style }) => ({ label, colour, shape: style })),
    ...bands.map(({ label, colour }) => ({ label, colour, shape: "band" as const })),
  ];
  return frame(chart, keys, height, body);
}

/** Draws horizontal bars one below the other, each with a mark to compare it with. */
export function barChart(chart: BarChart): string {
  const { bars, marks, barLabel, colour } = chart;
  const rowHeight = 30;
  const bottom = top + bars.length * rowHeight + 6;
  const height = bottom + 72;
  const labelWidth = Math.max(...bars.map(({ label }) => widthOf(label)));
  const detailWidth = Math.max(...bars.map(({ detail }) => widthOf(detail, 12)));
  const textWidth = Math.max(...bars.map(({ text: shown }) => widthOf(shown)));
  const left = padding + labelWidth + 14 + detailWidth + 14;
  const right = width - padding - textWidth - 10;
  const ticks = linearTicks(
    Math.max(...bars.flatMap(({ value, mark }) => [value, mark?.value ?? 0])),
    5,
  );
  const placeX = (value: number) => left + (value / ticks.at(-1)!) * (right - left);

  const body = ticks.flatMap((tick) => [
    line(placeX(tick), top, placeX(tick), bottom, colours.grid),
    text(placeX(tick), bottom + 22, tickText(tick), { anchor: "middle" }),
  ]);
  for (const [index, { label, detail, value, mark, text: shown }] of bars.entries()) {
    const y = top + 6 + index * rowHeight;
    const middle = y + 9;
    const end = Math.max(placeX(value), mark === null ? 0 : placeX(mark.value));
    body.push(
      text(padding, middle + 4.5, label, { colour: colours.ink }),
      text(padding + labelWidth + 14, middle + 4.5, detail, { size: 12 }),
      `<rect x="${round(left)}" y="${y}" width="${round(Math.max(placeX(value) - left, 1))}" height="18" rx="2" fill="${colour}"/>`,
    );
    if (mark !== null) {
      const at = placeX(mark.value);
      // Omit the mark's outline if the mark is near the axis, because the outline would hide a short bar.
      if (at - left > 6) body.push(line(at, y - 4, at, y + 22, colours.paper, ' stroke-width="6"'));
      body.push(line(at, y - 4, at, y + 22, mark.colour, ' stroke-width="3"'));
    }
    body.push(...outlined(end + 10, middle + 4.5, shown, { colour: colours.ink }));
  }
  body.push(
    line(left, top, left, bottom, colours.axis),
    text((left + right) / 2, bottom + 50, chart.xTitle, { anchor: "middle" }),
  );
  const keys: Key[] = [
    { label: barLabel, colour, shape: "bar" },
    ...marks.map(({ label, colour: own }) => ({ label, colour: own, shape: "mark" as const })),
  ];
  return frame(chart, keys, height, body);
}
