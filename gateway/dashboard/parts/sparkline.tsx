import type { JSX } from "preact";

const WIDTH = 240;
const HEIGHT = 56;

/** Two rates over the last two minutes, one point a second; the numbers stand beside it. */
export function Sparkline({
  first,
  second,
  label,
}: {
  first: readonly number[];
  second: readonly number[];
  label: string;
}): JSX.Element {
  const most = Math.max(1, ...first, ...second);
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
      <polyline class="spark-in" points={points(first, most)} />
      <polyline class="spark-out" points={points(second, most)} />
    </svg>
  );
}

function points(values: readonly number[], most: number): string {
  const from = 120 - values.length;
  return values
    .map((value, index) => {
      const x = ((from + index) / 119) * WIDTH;
      const y = HEIGHT - 3 - (value / most) * (HEIGHT - 6);
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    })
    .join(" ");
}
