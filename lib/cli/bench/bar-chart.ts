// Draws horizontal bars as SVG, without a library.
import {
  type Colour,
  colours,
  frame,
  type Key,
  line,
  linearTicks,
  outlined,
  padding,
  round,
  text,
  tickText,
  topOf,
  width,
  widthOf,
} from "./chart.js";

export interface Bar {
  readonly label: string;
  readonly detail: string;
  /** The length, or null to draw no bar. */
  readonly value: number | null;
  /** A line across the bar. */
  readonly mark: { readonly value: number; readonly colour: Colour } | null;
  /** The text at the end of the bar. */
  readonly text: string;
  /** A smaller text after it. */
  readonly note?: string;
  /** The colour, if it is not the chart's. */
  readonly colour?: Colour;
  readonly isBold?: boolean;
}

/** Bars one below the other, under a title. */
export interface Panel {
  readonly title: string;
  readonly bars: readonly Bar[];
}

interface BarFrame {
  readonly title: string;
  readonly subtitle: string;
  readonly xTitle: string;
  readonly barLabel: string;
  readonly colour: Colour;
  /** The legend of bars in other colours. */
  readonly colourLabels?: readonly { readonly label: string; readonly colour: Colour }[];
  readonly marks: readonly { readonly label: string; readonly colour: Colour }[];
  /** A value to compare all bars with. */
  readonly reference?: { readonly label: string; readonly value: number };
}

export interface BarChart extends BarFrame {
  readonly bars: readonly Bar[];
}

export interface PanelChart extends BarFrame {
  /** From left to right, with the same rows. The first has the labels and details of all. */
  readonly panels: readonly Panel[];
}

const rowHeight = 30;
const panelGap = 28;

/** Returns the widths of the labels, texts and bars, and the left edge of each panel's bars. */
function columnsOf(panels: readonly Panel[]) {
  const all = panels.flatMap(({ bars }) => bars);
  const most = (pick: (bar: Bar) => number) => Math.max(...all.map(pick));
  const labelWidth = most(({ label, isBold }) => widthOf(label, isBold ? 14 : 13));
  const detailWidth = most(({ detail }) => widthOf(detail, 12));
  const textWidth = most(({ text: shown, isBold }) => widthOf(shown, isBold ? 14 : 13));
  const noteWidth = most(({ note }) => (note === undefined ? 0 : 8 + widthOf(note, 11)));
  const left = padding + labelWidth + 14 + detailWidth + 14;
  const space = (width - padding - left - panelGap * (panels.length - 1)) / panels.length;
  const lefts = panels.map((_, i) => left + (space + panelGap) * i);
  return { labelWidth, textWidth, lefts, barSpace: space - textWidth - noteWidth - 10 };
}

interface BarPosition {
  readonly left: number;
  readonly y: number;
  readonly textWidth: number;
  readonly placeX: (value: number) => number;
}

function drawBar(bar: Bar & { value: number; colour: Colour }, position: BarPosition): string[] {
  const { value, mark, colour, note, isBold } = bar;
  const { left, y, textWidth, placeX } = position;
  const end = Math.max(placeX(value), mark === null ? 0 : placeX(mark.value));
  const body = [
    `<rect x="${round(left)}" y="${y}" width="${round(Math.max(placeX(value) - left, 1))}" height="18" rx="2" fill="${colour}"/>`,
  ];
  if (mark !== null) {
    const at = placeX(mark.value);
    // Omit the mark's outline if the mark is near the axis, because the outline would hide a short bar.
    if (at - left > 6) body.push(line(at, y - 4, at, y + 22, colours.paper, ' stroke-width="6"'));
    body.push(line(at, y - 4, at, y + 22, mark.colour, ' stroke-width="3"'));
  }
  const weight = isBold ? 600 : 400;
  body.push(...outlined(end + 10, y + 13.5, bar.text, { colour: colours.ink, weight }));
  if (note !== undefined)
    body.push(...outlined(end + 18 + textWidth, y + 13.5, note, { size: 11 }));
  return body;
}

/** Draws panels of horizontal bars beside each other, with one column of labels and one scale. */
export function panelChart(chart: PanelChart): string {
  const { panels, marks, barLabel, colour, reference, colourLabels = [] } = chart;
  const keys: Key[] = [
    ...[{ label: barLabel, colour }, ...colourLabels].map((key) => ({
      ...key,
      shape: "bar" as const,
    })),
    ...marks.map((key) => ({ ...key, shape: "mark" as const })),
  ];
  if (reference) keys.push({ label: reference.label, colour: colours.muted, shape: "dashed" });
  const top = topOf(keys) + (panels.some(({ title }) => title !== "") ? 16 : 0);
  const bottom = top + Math.max(...panels.map(({ bars }) => bars.length)) * rowHeight + 6;
  const { labelWidth, textWidth, lefts, barSpace } = columnsOf(panels);
  const values = panels.flatMap(({ bars }) =>
    bars.flatMap(({ value, mark }) => [value ?? 0, mark?.value ?? 0]),
  );
  const ticks = linearTicks(Math.max(...values, reference?.value ?? 0), 5);
  const body = panels.flatMap(({ title, bars }, panel) => {
    const left = lefts[panel]!;
    const placeX = (value: number) => left + (value / ticks.at(-1)!) * barSpace;
    const drawn = ticks.flatMap((tick) => [
      line(placeX(tick), top, placeX(tick), bottom, colours.grid),
      text(placeX(tick), bottom + 22, tickText(tick), { anchor: "middle" }),
    ]);
    if (title !== "") drawn.push(text(left, top - 10, title, { colour: colours.ink, weight: 600 }));
    if (reference) {
      const at = placeX(reference.value);
      drawn.push(line(at, top, at, bottom, colours.muted, ' stroke-dasharray="4 3"'));
    }
    for (const [index, bar] of bars.entries()) {
      const y = top + 6 + index * rowHeight;
      if (panel === 0)
        drawn.push(
          text(padding, y + 13.5, bar.label, {
            colour: colours.ink,
            weight: bar.isBold ? 600 : 400,
          }),
          text(padding + labelWidth + 14, y + 13.5, bar.detail, { size: 12 }),
        );
      const { value } = bar;
      if (value !== null)
        drawn.push(...drawBar({ colour, ...bar, value }, { left, y, textWidth, placeX }));
    }
    return [
      ...drawn,
      line(left, top, left, bottom, colours.axis),
      text(left + barSpace / 2, bottom + 50, chart.xTitle, { anchor: "middle" }),
    ];
  });
  return frame(chart, keys, bottom + 72, body);
}

/** Draws horizontal bars one below the other, each with a mark to compare it with. */
export const barChart = ({ bars, ...chart }: BarChart) =>
  panelChart({ ...chart, panels: [{ title: "", bars }] });
