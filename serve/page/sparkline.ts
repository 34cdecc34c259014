// A line of values over time.

/** Draws values from left to right, with the greatest at the top. */
export function drawSparkline(svg: SVGSVGElement, values: readonly number[], most: number): void {
  const { width, height } = svg.viewBox.baseVal;
  const top = Math.max(...values, 0);
  const step = width / (most - 1);
  const left = width - step * (values.length - 1);
  const points = values.map((value, index) => {
    const y = height - 2 - (top === 0 ? 0 : (value / top) * (height - 6));
    return `${(left + index * step).toFixed(1)},${y.toFixed(1)}`;
  });
  const line = points.length < 2 ? "" : `M${points.join("L")}`;
  svg.querySelector(".line")?.setAttribute("d", line);
  svg
    .querySelector(".area")
    ?.setAttribute("d", line && `${line}L${width},${height}L${left.toFixed(1)},${height}Z`);
}
