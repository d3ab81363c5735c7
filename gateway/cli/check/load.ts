import type { LoadedLink, ScanGroup } from "../../config/types.ts";
import { formatDuration } from "../../core/options/units.ts";

/** Beyond this a line has no time left for retries and dead units. */
const BUSY_PERCENT = 70;
/** What a cure aims at. */
const GOOD_PERCENT = 90;
const BAUDS = [1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200];

/** What one run of a scan group costs. */
export interface GroupCost {
  readonly requests: number;
  /** Addresses read, and those of them that no tag needs. */
  readonly addresses: number;
  readonly spare: number;
  readonly busyMs: number;
  /** Of the link's time. */
  readonly percent: number;
}

export function costOf({ requests, everyMs }: ScanGroup, concurrency: number): GroupCost {
  let [addresses, spare, busyMs] = [0, 0, 0];
  for (const request of requests) {
    addresses += request.addresses ?? 0;
    spare += request.spare ?? 0;
    busyMs += request.busyMs ?? request.wireMs;
  }
  return { requests: requests.length, addresses, spare, busyMs, percent: (100 * busyMs) / (everyMs * concurrency) };
}

/** What is wrong with the load of a link, and the cure; undefined where nothing is. */
export function loadWarning(link: LoadedLink): string | undefined {
  const costs = link.groups.map((group) => ({ group, cost: costOf(group, link.concurrency) }));
  const percent = costs.reduce((sum, { cost }) => sum + cost.percent, 0);
  if (percent <= BUSY_PERCENT) return undefined;
  const head = `${link.name}: ${percent.toFixed(0)} % busy`;
  const cure = curesFor(link, percent).join(", ");
  if (percent <= 100) return `${head}: nothing is left for retries and units that are away; ${cure}`;
  const [worst] = costs.sort((a, b) => b.cost.percent - a.cost.percent);
  if (!worst) return undefined;
  const { device, everyMs, tags } = worst.group;
  const more = tags.length > 1 ? ` (${tags.length - 1} more with it)` : "";
  const best = bestMs(worst.cost.percent, percent, everyMs);
  return (
    `${head}; tag ${device.name}/${tags[0]?.name} cannot be read every ${formatDuration(everyMs)}, ` +
    `the best is ${Math.ceil(best)} ms${more}; ${cure}`
  );
}

/** With what the others leave; where they alone are too many, everybody gives way alike. */
function bestMs(own: number, all: number, everyMs: number): number {
  const left = 100 - (all - own);
  return everyMs * (left > 5 ? own / left : all / 100);
}

function curesFor(link: LoadedLink, percent: number): string[] {
  const factor = percent / GOOD_PERCENT;
  const baud = betterBaud(link);
  return [
    `read ${factor <= 1 ? "somewhat" : `${(Math.ceil(factor * 10) / 10).toFixed(1)} times`} less often ("every")`,
    ...(baud === undefined ? [] : [`or set the line and its units to ${baud} baud`]),
    "or read fewer tags here, or use a second line",
  ];
}

/** The lowest usual speed that would do; undefined where the link has none, or none would do. */
function betterBaud(link: LoadedLink): number | undefined {
  const present = baudOf(link.options);
  if (present === undefined) return undefined;
  return BAUDS.filter((baud) => baud > present).find((baud) => {
    const percents = link.groups.flatMap(({ everyMs, requests }) =>
      requests.map(({ wireMs, busyMs = wireMs }) => (100 * (busyMs - wireMs + (wireMs * present) / baud)) / everyMs),
    );
    return percents.reduce((sum, each) => sum + each, 0) <= GOOD_PERCENT;
  });
}

function baudOf(options: unknown): number | undefined {
  if (typeof options !== "object" || options === null || !("transport" in options)) return undefined;
  const { transport } = options;
  if (typeof transport !== "object" || transport === null || !("baud" in transport)) return undefined;
  return typeof transport.baud === "number" ? transport.baud : undefined;
}
