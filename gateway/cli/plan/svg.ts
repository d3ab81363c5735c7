import { formatSize } from "../../core/options/units.ts";
import { type Axis, bytesAxis, timeAxis } from "./axis.ts";
import type { Plan } from "./model.ts";
import type { CurvePoint } from "./outage.ts";
import { duration } from "./units.ts";

const WIDTH = 860;
const HEIGHT = 460;
const LEFT = 84;
const RIGHT = 24;
const TOP = 92;
const BOTTOM = 64;
/** Told apart by people who see no red or green too, on white and on black. */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b"];
const MOST_LINES = COLOURS.length;

const STYLE = `
  .back { fill: #ffffff }
  text { font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #24292f }
  .title { font-size: 16px; font-weight: 600 }
  .soft { fill: #57606a }
  .grid { stroke: #d8dee4; stroke-width: 1 }
  .axis { stroke: #57606a; stroke-width: 1.2; fill: none }
  .outage { fill: #bf8700; fill-opacity: 0.12 }
  .limit { stroke: #cf222e; stroke-width: 1.6; stroke-dasharray: 7 4 }
  .limit-text { fill: #cf222e }
  .disk { stroke: #57606a; stroke-width: 2.4; fill: none }
  .owed { stroke-width: 2; fill: none; stroke-linejoin: round }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 }
    text { fill: #e6edf3 }
    .soft { fill: #9198a1 }
    .grid { stroke: #30363d }
    .axis, .disk { stroke: #9198a1 }
    .limit { stroke: #ff7b72 }
    .limit-text { fill: #ff7b72 }
  }
`;

interface Scale {
  readonly x: Axis;
  readonly y: Axis;
  px(seconds: number): number;
  py(bytes: number): number;
}

/** Backlog over time, outage and drain, with the limit of the buffer. Stands alone; light and dark by the viewer's wish. */
export function backlogSvg(plan: Plan): string {
  const { outage, buffer, uplinks, gateway } = plan;
  const shown = thinned(outage.curve);
  const scale = scaleOf(shown, buffer.capacity);
  const lines = uplinks.slice(0, MOST_LINES).map(({ name }, at) => ({
    text: `owed to ${name}`,
    colour: COLOURS[at] ?? "#0072b2",
    points: shown.map(({ seconds, owedBytes }) => [seconds, owedBytes[at] ?? 0] as const),
  }));
  const title = `Backlog of ${gateway}: outage of ${duration(outage.seconds)}, then drain`;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="${xml(title)}">`,
    `<title>${xml(title)}</title>`,
    `<style>${STYLE}</style>`,
    `<rect class="back" width="${WIDTH}" height="${HEIGHT}"/>`,
    `<text class="title" x="${LEFT}" y="28">${xml(title)}</text>`,
    `<text class="soft" x="${LEFT}" y="49">${xml(summaryOf(plan))}</text>`,
    ...outageBand(outage.seconds, scale),
    ...gridOf(scale),
    ...limitLine(buffer.capacity, scale),
    path(
      "disk",
      shown.map(({ seconds, diskBytes }) => [seconds, diskBytes] as const),
      scale,
    ),
    ...lines.map(({ points, colour }, at) => path("owed", points, scale, colour, at)),
    ...legend([{ text: "on disk", colour: undefined }, ...lines]),
    "</svg>",
  ];
  return `${parts.join("\n")}\n`;
}

function summaryOf({ outage, buffer }: Plan): string {
  const drains = outage.drainSeconds;
  const longest = drains.some((seconds) => seconds === undefined)
    ? "never drained"
    : drains.length === 0
      ? "no uplink"
      : `drained ${duration(Math.max(...drains.map((seconds) => seconds ?? 0)))} after its end`;
  const [first] = outage.losses;
  const lost =
    first === undefined ? "nothing is lost" : `${first.stream} ${first.how} from ${duration(first.atSeconds)} on`;
  const full = buffer.seconds === undefined ? "" : `buffer full after ${duration(buffer.seconds)}, `;
  return `${full}${longest}, ${lost}`;
}

function scaleOf(curve: readonly CurvePoint[], capacity: number): Scale {
  const seconds = Math.max(...curve.map((point) => point.seconds), 1);
  const most = Math.max(...curve.flatMap(({ diskBytes, owedBytes }) => [diskBytes, ...owedBytes]), 1);
  // The limit belongs into the picture unless the curve would be a line on the floor.
  const x = timeAxis(seconds);
  const y = bytesAxis(capacity <= most * 8 ? Math.max(most, capacity) * 1.04 : most * 1.1);
  return {
    x,
    y,
    px: (at) => LEFT + (at / x.most) * (WIDTH - LEFT - RIGHT),
    py: (bytes) => HEIGHT - BOTTOM - (bytes / y.most) * (HEIGHT - TOP - BOTTOM),
  };
}

function gridOf({ x, y, px, py }: Scale): string[] {
  const floor = HEIGHT - BOTTOM;
  return [
    ...y.ticks.flatMap(({ at, text }) => [
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${fixed(py(at))}" y2="${fixed(py(at))}"/>`,
      `<text x="${LEFT - 9}" y="${fixed(py(at) + 4.5)}" text-anchor="end">${text}</text>`,
    ]),
    ...x.ticks.flatMap(({ at, text }) => [
      `<line class="axis" x1="${fixed(px(at))}" x2="${fixed(px(at))}" y1="${floor}" y2="${floor + 5}"/>`,
      `<text x="${fixed(px(at))}" y="${floor + 21}" text-anchor="middle">${text}</text>`,
    ]),
    `<path class="axis" d="M${LEFT} ${TOP}V${floor}H${WIDTH - RIGHT}"/>`,
    `<text class="soft" x="${fixed((LEFT + WIDTH - RIGHT) / 2)}" y="${HEIGHT - 14}" text-anchor="middle">time since the beginning of the outage (${x.unit})</text>`,
    `<text class="soft" transform="translate(20 ${fixed((TOP + floor) / 2)}) rotate(-90)" text-anchor="middle">backlog (${y.unit})</text>`,
  ];
}

function outageBand(seconds: number, { px }: Scale): string[] {
  const width = px(seconds) - LEFT;
  const band = `<rect class="outage" x="${LEFT}" y="${TOP}" width="${fixed(width)}" height="${HEIGHT - TOP - BOTTOM}"/>`;
  const label = `<text class="soft" x="${fixed(LEFT + width / 2)}" y="${HEIGHT - BOTTOM - 8}" text-anchor="middle">outage</text>`;
  return width > 60 ? [band, label] : [band];
}

function limitLine(capacity: number, { y, py }: Scale): string[] {
  const text = `buffer limit ${formatSize(capacity)}`;
  if (capacity > y.most)
    return [
      `<text class="limit-text" x="${WIDTH - RIGHT}" y="${TOP + 14}" text-anchor="end">${text}, above the picture</text>`,
    ];
  const at = fixed(py(capacity));
  return [
    `<line class="limit" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}"/>`,
    `<text class="limit-text" x="${WIDTH - RIGHT}" y="${fixed(py(capacity) - 6)}" text-anchor="end">${text}</text>`,
  ];
}

function legend(items: readonly { readonly text: string; readonly colour: string | undefined }[]): string[] {
  let x = LEFT;
  return items.flatMap(({ text, colour }) => {
    const line = `<line class="${colour === undefined ? "disk" : "owed"}"${colour === undefined ? "" : ` stroke="${colour}"`} x1="${x}" x2="${x + 22}" y1="70" y2="70"/>`;
    const label = `<text x="${x + 29}" y="74.5">${xml(text)}</text>`;
    x += 29 + Math.round(text.length * 7.4) + 24;
    return [line, label];
  });
}

/** Lines that lie upon each other are dashed differently. */
function path(
  kind: string,
  points: readonly (readonly [number, number])[],
  { px, py }: Scale,
  colour?: string,
  at = 0,
): string {
  const d = points.map(([x, y], index) => `${index === 0 ? "M" : "L"}${fixed(px(x))} ${fixed(py(y))}`).join("");
  const dash = at === 0 ? "" : ` stroke-dasharray="${4 + 4 * at} ${3 + at}"`;
  return `<path class="${kind}"${colour === undefined ? "" : ` stroke="${colour}"`}${dash} d="${d}"/>`;
}

/** No more points than there are pixels. */
function thinned(curve: readonly CurvePoint[]): readonly CurvePoint[] {
  const every = Math.ceil(curve.length / 900);
  return curve.filter((_, at) => at % every === 0 || at === curve.length - 1);
}

function fixed(value: number): string {
  return String(Math.round(value * 100) / 100);
}

function xml(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
}
