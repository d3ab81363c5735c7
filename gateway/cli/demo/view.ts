import { DemoModel, type ShownValue } from "./model.ts";

export interface ViewFacts {
  readonly nowMs: number;
  readonly elapsedMs: number;
  readonly httpUrl: string;
  readonly gatewayPid: number | undefined;
  readonly restarts: number;
  readonly sensorAcknowledged: number;
  /** What the upstream does: `up`, or `down, back in 12 s`. */
  readonly upstream: string;
  /** The last thing that happened, in one line. */
  readonly event: string;
  readonly hints: readonly string[];
  readonly width: number;
  readonly colour: boolean;
}

const BOLD = "\x1b[1m";
const DIM = "\x1b[2m";
const RED = "\x1b[31m";
const GREEN = "\x1b[32m";
const YELLOW = "\x1b[33m";
const PLAIN = "\x1b[0m";
/** Takes the whole screen, and gives back what was on it. */
export const ENTER_SCREEN = "\x1b[?1049h\x1b[?25l\x1b[2J";
export const LEAVE_SCREEN = "\x1b[?25h\x1b[?1049l";

/** One frame: from the upper left corner, each line cleared to its end. */
export function frame(lines: readonly string[]): string {
  return `\x1b[H${lines.map((line) => `${line}\x1b[K`).join("\r\n")}\x1b[J`;
}

/** The screen, at most 24 lines of `width` columns. */
export function renderScreen(model: DemoModel, facts: ViewFacts): string[] {
  const paint = (style: string, text: string) => (facts.colour ? `${style}${text}${PLAIN}` : text);
  const verdict = model.verdict();
  const missing = verdict.missingRanges;
  const up = model.gateway.uplinkState === "connected";
  const title = "Millrace demo: a press shop, seen from its upstream broker";
  return [
    `${paint(BOLD, title)}${clock(facts.elapsedMs).padStart(Math.max(facts.width - title.length, 6))}`,
    "",
    paint(DIM, row(["DEVICE", "TAG", "VALUE", "UNIT", "QUALITY", "AGE"])),
    ...model.devices.flatMap((device) =>
      device.tags.map((tag, index) => {
        const shown = model.values.get(`${device.name}/${tag.name}`);
        const age = shown === undefined ? "" : ageOf(shown, facts.nowMs);
        const cells = [
          index === 0 ? device.name : "",
          tag.name,
          shown?.value ?? "…",
          tag.unit,
          shown?.quality ?? "",
          age,
        ];
        const line = clip(row(cells), facts.width);
        return shown !== undefined && shown.quality !== "good" ? paint(YELLOW, line) : line;
      }),
    ),
    "",
    fact(
      "upstream",
      paint(
        up ? GREEN : YELLOW,
        clip(`${facts.upstream}; the gateway says: ${model.gateway.uplinkState ?? "(no answer)"}`, facts.width - 10),
      ),
    ),
    fact("gateway", gatewayLine(facts)),
    fact("backlog", model.gateway.backlog === undefined ? "…" : `${count(model.gateway.backlog)} records on disk`),
    fact("received", `${count(verdict.received)} records   duplicates ${count(verdict.duplicates)}`),
    fact(
      "missing",
      `${paint(missing === 0 ? GREEN : RED, String(missing))}   gaps told ${DemoModel.told(verdict)}   ` +
        `sensor ${count(facts.sensorAcknowledged)} acknowledged, ${count(arrived(model))} arrived`,
    ),
    "",
    ...(facts.event === "" ? [] : [clip(facts.event, facts.width)]),
    ...facts.hints.map((hint) => paint(DIM, clip(hint, facts.width))),
  ];
}

/** One line for logs and pipes. */
export function renderLine(model: DemoModel, facts: ViewFacts): string {
  const verdict = model.verdict();
  return [
    clock(facts.elapsedMs),
    `upstream ${facts.upstream}`,
    `backlog ${model.gateway.backlog ?? "?"}`,
    `received ${verdict.received}`,
    `duplicates ${verdict.duplicates}`,
    `missing ${verdict.missingRanges}`,
    `gaps ${DemoModel.told(verdict)}`,
    `sensor ${arrived(model)} of ${facts.sensorAcknowledged}`,
  ].join("  ");
}

/** The values that came first, in one line. */
export function renderFirst(model: DemoModel): string {
  const shown = model.devices.flatMap((device) =>
    device.tags.flatMap((tag) => {
      const value = model.values.get(`${device.name}/${tag.name}`);
      return value === undefined || value.value === ""
        ? []
        : [`${device.name} ${tag.name} ${value.value} ${tag.unit}`.trimEnd()];
    }),
  );
  const seconds = ((model.firstValueMs ?? 0) / 1000).toFixed(1);
  return `first plant values at the upstream after ${seconds} s: ${shown.slice(0, 3).join(", ")}`;
}

/** Readings of the sensor that are upstream. */
export function arrived(model: DemoModel): number {
  let sum = 0;
  for (const [from, to] of model.readings) sum += to - from + 1;
  return sum;
}

function gatewayLine(facts: ViewFacts): string {
  const pid = facts.gatewayPid === undefined ? "starting again" : `pid ${facts.gatewayPid}`;
  const restarts = facts.restarts === 0 ? "" : `, restarts ${facts.restarts}`;
  return `${pid}${restarts}   ${facts.httpUrl}/metrics`;
}

function fact(name: string, value: string): string {
  return `${name.padEnd(10)}${value}`;
}

function row(cells: readonly string[]): string {
  const [device = "", tag = "", value = "", unit = "", quality = "", age = ""] = cells;
  return `${device.padEnd(13)}${tag.padEnd(17)}${value.padStart(12)} ${unit.padEnd(8)}${clip(quality, 19).padEnd(20)}${age.padStart(8)}`.trimEnd();
}

function clip(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, width - 1)}…` : text;
}

function ageOf(value: ShownValue, nowMs: number): string {
  return `${(Math.max(nowMs - value.ts, 0) / 1000).toFixed(1)} s`;
}

function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}
