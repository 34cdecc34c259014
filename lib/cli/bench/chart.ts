// What charts share: colours, the elements of SVG, the ticks of an axis, and the frame with title and legend.

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
  pale: "#ccd3da",
  axis: "#9aa5b1",
} as const;

export type Colour = (typeof colours)[keyof typeof colours];

export interface Key {
  readonly label: string;
  readonly colour: Colour;
  readonly shape: "line" | "dashed" | "band" | "bar" | "mark";
}

export const width = 960;
export const padding = 32;
const fonts = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif";

const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
const escaped = (text: string) => text.replace(/[&<>]/g, (character) => escapes[character]!);
export const round = (value: number) => Number(value.toFixed(2));

interface TextStyle {
  readonly size?: number;
  readonly colour?: Colour;
  readonly anchor?: "start" | "middle" | "end";
  readonly weight?: 400 | 600;
  /** Rotation in degrees about (x, y). */
  readonly turn?: number;
}

export function text(x: number, y: number, content: string, style: TextStyle = {}): string {
  const { size = 13, colour = colours.muted, anchor = "start", weight = 400, turn } = style;
  const turned = turn === undefined ? "" : ` transform="rotate(${turn} ${round(x)} ${round(y)})"`;
  return `<text x="${round(x)}" y="${round(y)}" font-size="${size}" fill="${colour}" text-anchor="${anchor}" font-weight="${weight}"${turned}>${escaped(content)}</text>`;
}

/** Draws a text with an outline, so that it stays readable over a line. */
export function outlined(x: number, y: number, content: string, style: TextStyle): string[] {
  const outline = `stroke="${colours.paper}" stroke-width="4" stroke-linejoin="round"`;
  return [`<g ${outline}>${text(x, y, content, style)}</g>`, text(x, y, content, style)];
}

export function line(
  x1: number,
  y1: number,
  x2: number,
  y2: number,
  colour: Colour,
  extra = "",
): string {
  return `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" stroke="${colour}"${extra}/>`;
}

/** Estimates the width of a text without measuring a font. */
export function widthOf(content: string, size = 13): number {
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

export const tickText = (tick: number) =>
  tick.toLocaleString("en-US", { maximumFractionDigits: 6 });

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

/** Draws the title, the subtitle, the legend and a body, below which the image ends. */
export function frame(
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

/** The upper edge of the plotted area, below the legend if there is one. */
export const topOf = (keys: readonly Key[]) => (keys.length > 0 ? 140 : 104);
