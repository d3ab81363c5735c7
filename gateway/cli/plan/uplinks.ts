import type { LoadedConfig } from "../../config/types.ts";
import { STREAMS, type StreamName } from "../../core/record.ts";
import { costOf, fullBatch, gathered } from "./sizes.ts";
import type { Cost, Limit, PlanTools, Sender, Sized, UplinkLoad } from "./types.ts";

/** Of the window, what backfill leaves to live data. */
const LIVE_PART = 1 / 16;

/** What each uplink is sent, and how fast it can be. `rttMs`: from a message to its acknowledgement. */
export function uplinkLoads(
  config: LoadedConfig,
  sized: readonly Sized[],
  tools: PlanTools,
  { rttMs, most }: { readonly rttMs: number; readonly most: number },
): UplinkLoad[] {
  return config.uplinks.map((uplink) => {
    const sender = tools.sender(uplink, config);
    const { shared, module, name } = uplink;
    const own = sized.filter(({ flow }) => sender.selects(flow.topic));
    const live = average(own, (each) => liveCost(each, own, sender));
    const drain = average(own, ({ flow }) =>
      costOf(flow, sender, fullBatch(flow, sender), shared.order === "live-first"),
    );
    const recordsPerSecond = total(own, () => 1);
    const limits = limitsOf(sender, rttMs, most);
    const room = roomFor({ limits, live, drain, recordsPerSecond, liveFirst: shared.order === "live-first" });
    return {
      name,
      type: module.name,
      format: sender.format,
      order: shared.order,
      required: shared.required,
      recordsPerSecond,
      byStream: byStream(own),
      live,
      drain,
      inFlight: sender.inFlight,
      limits,
      ...room,
      maxBacklog: { bytes: shared.maxBacklog.bytes, age: shared.maxBacklog.age },
    };
  });
}

function liveCost({ flow }: Sized, own: readonly Sized[], sender: Sender): Cost {
  const { batch } = sender;
  if (batch === undefined || flow.values === 0) return costOf(flow, sender, 1, false);
  const beside = own.filter((other) => other.flow.topic === flow.topic && other.flow.values > 0);
  const perSecond = beside.reduce((sum, other) => sum + other.flow.perSecond, 0);
  const together = gathered(perSecond, flow.periodic && beside.length === 1, batch.lingerMs);
  const most = Math.min(together, fullBatch(flow, sender));
  // Between two whole numbers: as much of each.
  const [low, high] = [Math.floor(most), Math.ceil(most)];
  if (low === high) return costOf(flow, sender, low, false);
  const [few, many] = [costOf(flow, sender, low, false), costOf(flow, sender, high, false)];
  const share = ((most - low) * high) / most;
  return {
    messages: few.messages * (1 - share) + many.messages * share,
    bytes: few.bytes * (1 - share) + many.bytes * share,
  };
}

function average(own: readonly Sized[], cost: (sized: Sized) => Cost): Cost {
  const all = total(own, () => 1);
  if (all === 0) return { messages: 0, bytes: 0 };
  let [messages, bytes] = [0, 0];
  for (const each of own) {
    const { messages: m, bytes: b } = cost(each);
    messages += (m * each.flow.perSecond) / all;
    bytes += (b * each.flow.perSecond) / all;
  }
  return { messages, bytes };
}

function total(own: readonly Sized[], of: (sized: Sized) => number): number {
  return own.reduce((sum, each) => sum + each.flow.perSecond * of(each), 0);
}

function byStream(own: readonly Sized[]): UplinkLoad["byStream"] {
  const of = (stream: StreamName) => {
    const flows = own.filter(({ flow }) => flow.stream === stream);
    return { recordsPerSecond: total(flows, () => 1), storedPerSecond: total(flows, ({ storedBytes }) => storedBytes) };
  };
  const [events, telemetry] = STREAMS.map(of);
  const none = { recordsPerSecond: 0, storedPerSecond: 0 };
  return { events: events ?? none, telemetry: telemetry ?? none };
}

function limitsOf({ maxRate, inFlight, inFlightBytes }: Sender, rttMs: number, most: number): Limit[] {
  const limits: Limit[] = [];
  if (maxRate.messages !== undefined)
    limits.push({ name: "maxRate.messages", unit: "messages", perSecond: maxRate.messages });
  if (maxRate.bytes !== undefined) limits.push({ name: "maxRate.bytes", unit: "bytes", perSecond: maxRate.bytes });
  limits.push({ name: "this machine", unit: "messages", perSecond: most });
  if (rttMs <= 0) return limits;
  limits.push({ name: "window / round trip", unit: "messages", perSecond: (1000 * inFlight) / rttMs });
  limits.push({ name: "bytes in flight / round trip", unit: "bytes", perSecond: (1000 * inFlightBytes) / rttMs });
  return limits;
}

interface Way {
  readonly limits: readonly Limit[];
  readonly live: Cost;
  readonly drain: Cost;
  readonly recordsPerSecond: number;
  readonly liveFirst: boolean;
}

/** With `live-first` what is new goes in small messages and first; otherwise all goes in one row. */
export function roomFor({
  limits,
  live,
  drain,
  recordsPerSecond,
  liveFirst,
}: Way): Pick<UplinkLoad, "recordsPerSecondAtMost" | "drainPerSecond" | "limitedBy"> {
  let best = { drainPerSecond: Infinity, limitedBy: "nothing" };
  for (const { name, unit, perSecond } of limits) {
    const window = liveFirst && name.startsWith("window");
    const room = liveFirst
      ? (perSecond * (window ? 1 - LIVE_PART : 1) - recordsPerSecond * live[unit]) / (drain[unit] || Infinity)
      : perSecond / (drain[unit] || Infinity) - recordsPerSecond;
    const left = drain[unit] === 0 ? Infinity : room;
    if (left < best.drainPerSecond) best = { drainPerSecond: left, limitedBy: name };
  }
  return { ...best, recordsPerSecondAtMost: best.drainPerSecond + recordsPerSecond };
}
