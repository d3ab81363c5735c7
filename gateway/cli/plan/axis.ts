/** One axis of a picture: round steps, and what stands beside them. */
export interface Axis {
  readonly most: number;
  readonly ticks: readonly { readonly at: number; readonly text: string }[];
  readonly unit: string;
}

const TIMES = [
  { unit: "s", size: 1, steps: [1, 2, 5, 10, 15, 30, 60, 120] },
  { unit: "min", size: 60, steps: [1, 2, 5, 10, 15, 30, 60] },
  { unit: "h", size: 3600, steps: [1, 2, 3, 4, 6, 12, 24] },
  { unit: "d", size: 86_400, steps: [1, 2, 5, 7, 14, 30, 60, 120, 365] },
] as const;
const MOST_TICKS = 9;

/** Seconds, in the unit that they are spoken of in. */
export function timeAxis(seconds: number): Axis {
  const unit = [...TIMES].reverse().find(({ size }) => seconds >= 3 * size) ?? TIMES[0];
  const whole = seconds / unit.size;
  const step = unit.steps.find((each) => whole / each <= MOST_TICKS) ?? niceStep(whole);
  return { unit: unit.unit, ...ticksOf(whole, step < whole ? step : niceStep(whole), unit.size, false) };
}

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytesAxis(bytes: number): Axis {
  const power = Math.min(SIZES.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
  const size = 1024 ** power;
  return { unit: SIZES[power] ?? "B", ...ticksOf(bytes / size, niceStep(bytes / size), size, true) };
}

function ticksOf(most: number, step: number, size: number, round: boolean): Pick<Axis, "most" | "ticks"> {
  const end = round ? Math.ceil(most / step - 1e-9) * step : most;
  const ticks = [];
  for (let n = 0; n * step <= end + 1e-9 * step; n++)
    ticks.push({ at: n * step * size, text: String(Number((n * step).toPrecision(6))) });
  return { most: end * size, ticks };
}

/** 1, 2 or 5 times a power of ten, so that there are about six of them. */
function niceStep(most: number): number {
  const rough = Math.max(most, 1e-9) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  return ([1, 2, 5].find((times) => times * power >= rough) ?? 10) * power;
}
