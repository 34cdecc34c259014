// Draws lines over categories as SVG, without a library.
import {
  type Colour,
  colours,
  frame,
  type Key,
  line,
  linearTicks,
  logTicks,
  outlined,
  padding,
  round,
  text,
  tickText,
  topOf,
  width,
  widthOf,
} from "./chart.js";

export interface Series {
  readonly label: string;
  readonly colour: Colour;
  readonly style: "line" | "dashed";
  /** The y of each x, or null if there is no value. */
  readonly values: readonly (number | null)[];
  /** Formats the text of a point, shown if there is room: below the lowest of several points, above the others. */
  readonly textOf: (value: number) => string;
  readonly isBold?: boolean;
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
  /** Where the names of the series are: in the legend, or with the last value at the ends of their lines. Points have texts only with a legend. */
  readonly names?: "legend" | "ends";
}

/** The part of a line chart inside its axes. */
interface Plane {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
  readonly ticks: readonly number[];
  readonly placeX: (index: number) => number;
  readonly placeY: (value: number) => number;
}

interface Point {
  readonly value: number;
  readonly x: number;
  readonly y: number;
}

/** The text at the end of a line: name and last value. */
function endText({ label, values, textOf }: Series): string {
  const last = values.findLast((value) => value !== null);
  return last === undefined ? label : `${label}  ${textOf(last)}`;
}

const leader = 24;

function planeOf(chart: LineChart, top: number, bottom: number): Plane {
  const { series, bands = [], x, yScale, names } = chart;
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
  const left = padding + 34 + Math.max(...ticks.map((tick) => widthOf(tickText(tick))));
  const endWidth = Math.max(...series.map((each) => widthOf(endText(each), each.isBold ? 14 : 13)));
  // The last points are at the right edge if names follow them.
  const right = width - padding - (names === "ends" ? leader + 6 + endWidth : 0);
  const [first, last] = names === "ends" ? [0.25, 0] : [0.5, 0.5];
  const step = (right - left) / (first + x.length - 1 + last);
  return {
    ...{ top, bottom, left, right, ticks },
    placeX: (index) => left + step * (index + first),
    placeY: (value) => bottom - ((scale(value) - lowest) / (highest - lowest)) * (bottom - top),
  };
}

function drawAxes(chart: LineChart, { top, bottom, left, right, ticks, ...plane }: Plane) {
  const body = ticks.flatMap((tick) => [
    line(left, plane.placeY(tick), right, plane.placeY(tick), colours.grid),
    text(left - 12, plane.placeY(tick) + 4.5, tickText(tick), { anchor: "end" }),
  ]);
  body.push(line(left, bottom, right, bottom, colours.axis));
  for (const [index, label] of chart.x.entries()) {
    const x = plane.placeX(index);
    body.push(
      line(x, bottom, x, bottom + 6, colours.axis),
      text(x, bottom + 24, label, { anchor: "middle", colour: colours.ink }),
    );
  }
  body.push(
    text((left + right) / 2, bottom + 52, chart.xTitle, { anchor: "middle" }),
    text(padding, (top + bottom) / 2, chart.yTitle, { anchor: "middle", turn: -90 }),
  );
  return body;
}

function drawBand({ colour, from, to }: Band, { placeX, placeY }: Plane): string {
  const upper = to.map((value, i) => `${round(placeX(i))},${round(placeY(value))}`);
  const lower = from.map((value, i) => `${round(placeX(i))},${round(placeY(value))}`).reverse();
  const points = [...upper, ...lower].join(" ");
  // Draw an outline, because a band has no area with a single x or if `from` equals `to`.
  return `<polygon points="${points}" fill="${colour}" fill-opacity="0.22" stroke="${colour}" stroke-opacity="0.45" stroke-width="1.5"/>`;
}

function drawSeries({ colour, style, isBold }: Series, points: readonly (Point | null)[]) {
  const shown = points.filter((point) => point !== null);
  const path = shown.map((point) => `${round(point.x)},${round(point.y)}`).join(" ");
  const dashes = style === "dashed" ? ' stroke-dasharray="6 5"' : "";
  const stroke = isBold ? 4 : 2.5;
  return [
    `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="${stroke}" stroke-linejoin="round"${dashes}/>`,
    ...shown.map(({ x, y }) =>
      style === "line"
        ? `<circle cx="${round(x)}" cy="${round(y)}" r="${isBold ? 6 : 5}" fill="${colour}" stroke="${colours.paper}" stroke-width="1.5"/>`
        : line(x - 9, y, x + 9, y, colour, ` stroke-width="${stroke}"`),
    ),
  ];
}

/** Draws the texts of the points at one x: the lowest's below it, the others' above them if there is room. */
function drawTexts(series: readonly Series[], points: readonly (Point | null)[]): string[] {
  const column = series
    .map(({ colour, textOf }, i) => ({ colour, textOf, point: points[i]! }))
    .filter(({ point }) => point !== null)
    .sort((a, b) => a.point.y - b.point.y);
  return column.flatMap(({ colour, textOf, point }, rank) => {
    const isLowest = rank > 0 && rank === column.length - 1;
    const above = column[rank - 1]?.point.y ?? Number.NEGATIVE_INFINITY;
    const isCrowded = !isLowest && point.y - above < 36;
    if (isCrowded) return [];
    const y = point.y + (isLowest ? 24 : -13);
    return outlined(point.x, y, textOf(point.value), { anchor: "middle", weight: 600, colour });
  });
}

/** Draws the names at the ends of the lines, at least 19 apart and in the order of the last points. */
function drawNames(
  series: readonly Series[],
  points: readonly (readonly (Point | null)[])[],
  { bottom, right }: Plane,
): string[] {
  const ends = series
    .flatMap((each, i) => {
      const y = points[i]!.findLast((point) => point !== null)?.y;
      return y === undefined ? [] : [{ each, y, at: y }];
    })
    .sort((a, b) => a.y - b.y);
  for (const [i, end] of ends.entries()) if (i > 0) end.at = Math.max(end.at, ends[i - 1]!.at + 19);
  let limit = bottom;
  for (const end of ends.toReversed()) {
    end.at = Math.min(end.at, limit);
    limit = end.at - 19;
  }
  return ends.flatMap(({ each, y, at }) => [
    line(right + 8, y, right + leader, at, each.colour, ' stroke-width="1.5"'),
    text(right + leader + 6, at + 4.5, endText(each), {
      colour: colours.ink,
      weight: each.isBold ? 600 : 400,
    }),
  ]);
}

/** Draws lines over a few ordered categories, such as batch sizes. */
export function lineChart(chart: LineChart): string {
  const { series, bands = [], x, yScale, names } = chart;
  const keys: Key[] = [
    ...(names === "ends" ? [] : series).map(({ label, colour, style }) => ({
      label,
      colour,
      shape: style,
    })),
    ...bands.map(({ label, colour }) => ({ label, colour, shape: "band" as const })),
  ];
  const height = 560;
  const plane = planeOf(chart, topOf(keys), height - 76);
  const points = series.map(({ values }) =>
    values.map((value, i) =>
      // A logarithmic axis cannot show 0.
      value === null || (value <= 0 && yScale === "log")
        ? null
        : { value, x: plane.placeX(i), y: plane.placeY(value) },
    ),
  );
  return frame(chart, keys, height, [
    ...drawAxes(chart, plane),
    ...bands.map((band) => drawBand(band, plane)),
    ...series.flatMap((each, i) => drawSeries(each, points[i]!)),
    ...(names === "ends"
      ? drawNames(series, points, plane)
      : [...x.keys()].flatMap((index) =>
          drawTexts(
            series,
            points.map((own) => own[index]!),
          ),
        )),
  ]);
}
