// Draws a confusion matrix as SVG: a row for each true class, a column for each answer.
import type { ValidationSummary } from "../../vgg/validation.js";
import {
  colours,
  frame,
  type Key,
  line,
  padding,
  round,
  text,
  topOf,
  width,
  widthOf,
} from "../bench/chart.js";
import { cut } from "../table.js";
import type { Matrix } from "./matrix.js";

const keys: readonly Key[] = [
  { label: "right", colour: colours.blue, shape: "bar" },
  {
    label: "wrong; the deeper, the larger the share of the row",
    colour: colours.vermillion,
    shape: "bar",
  },
];

/** The largest side of a cell, in pixels. */
const mostCell = 64;
/** The smallest side of the colour in a cell, in pixels, so that cells of a thousand classes can be seen. */
const leastMark = 2.5;
/** The smallest distance between two labels, in pixels. */
const labelStep = 13;

interface Plot {
  readonly cell: number;
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
  readonly labels: readonly string[];
  readonly labelWidth: number;
  readonly fontSize: number;
  /** Whether the columns' labels are horizontal. */
  readonly isFlat: boolean;
}

function plotOf({ classes }: Matrix): Plot {
  const labels = classes.map(({ label }) => cut(label, 28));
  const fontSize = 12;
  const labelWidth = Math.max(0, ...labels.map((label) => widthOf(label, fontSize)));
  const left = padding + 24 + labelWidth + 8;
  const cell = Math.min(mostCell, (width - padding - left) / classes.length);
  const top = topOf(keys);
  const side = cell * classes.length;
  const isFlat = labels.every((label) => widthOf(label, fontSize) < cell - 6);
  const [right, bottom] = [left + side, top + side];
  return { cell, left, top, right, bottom, labels, labelWidth, fontSize, isFlat };
}

/** Draws the cells of a row that are not 0, with their numbers if there is room. */
function drawRow(row: readonly number[], at: number, { cell, left, top }: Plot): string[] {
  const total = row.reduce((sum, images) => sum + images, 0);
  return row.flatMap((images, column) => {
    if (images === 0) return [];
    const share = images / total;
    const opacity = 0.2 + 0.8 * share;
    const colour = column === at ? colours.blue : colours.vermillion;
    const [x, y] = [left + column * cell, top + at * cell];
    const side = Math.max(cell, leastMark);
    const [markX, markY] = [x + (cell - side) / 2, y + (cell - side) / 2];
    const drawn = [
      `<rect x="${round(markX)}" y="${round(markY)}" width="${round(side)}" height="${round(side)}" fill="${colour}" fill-opacity="${round(opacity)}"/>`,
    ];
    const size = Math.min(14, Math.floor(cell * 0.42));
    const shown = String(images);
    if (size >= 8 && widthOf(shown, size) < cell - 4)
      drawn.push(
        text(x + cell / 2, y + cell / 2 + size * 0.36, shown, {
          size,
          colour: opacity > 0.5 ? colours.paper : colours.ink,
          anchor: "middle",
        }),
      );
    return drawn;
  });
}

/** Draws the labels of rows and columns, and skips some if they are too close. */
function drawLabels({ cell, left, bottom, top, labels, fontSize, isFlat }: Plot): string[] {
  const step = Math.ceil(labelStep / cell);
  return labels.flatMap((label, i) => {
    if (i % step !== 0) return [];
    const middle = (i + 0.5) * cell;
    const style = { size: fontSize, colour: colours.ink };
    const [x, y] = [left + middle, bottom + 8];
    return [
      text(left - 8, top + middle + fontSize * 0.36, label, { ...style, anchor: "end" }),
      isFlat
        ? text(x, y + fontSize, label, { ...style, anchor: "middle" })
        : text(x + fontSize * 0.36, y, label, { ...style, anchor: "end", turn: -90 }),
    ];
  });
}

/** Draws a confusion matrix. */
export function confusionFigure(matrix: Matrix, { images, top1 }: ValidationSummary): string {
  const plot = plotOf(matrix);
  const { cell, left, top, right, bottom, labels, labelWidth, fontSize, isFlat } = plot;
  const below = isFlat ? fontSize + 8 : labelWidth + 8;
  const grid =
    cell < 8 ? [0, labels.length] : Array.from({ length: labels.length + 1 }, (_, i) => i);
  const body = [
    ...labels.flatMap((_, at) => drawRow(matrix.rowOf(at), at, plot)),
    ...grid.flatMap((i) => [
      line(left + i * cell, top, left + i * cell, bottom, colours.pale),
      line(left, top + i * cell, right, top + i * cell, colours.pale),
    ]),
    ...drawLabels(plot),
    text(padding + 12, (top + bottom) / 2, "true class", { anchor: "middle", turn: -90 }),
    text((left + right) / 2, bottom + below + 24, "answer", { anchor: "middle" }),
  ];
  const accuracy = images === 0 ? "-" : `${(top1 * 100).toFixed(1)} %`;
  const subtitle = `acc@1 ${accuracy} of ${images.toLocaleString("en-US")} ${images === 1 ? "image" : "images"}, ${labels.length.toLocaleString("en-US")} classes`;
  return frame({ title: "Confusion matrix", subtitle }, keys, round(bottom + below + 48), body);
}
