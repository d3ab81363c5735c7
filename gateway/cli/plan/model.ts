import type { LoadedConfig } from "../../config/types.ts";
import { type Buffer, bufferOf, type StreamLoads, streamLoads } from "./buffer.ts";
import { type Card, cardOf } from "./card.ts";
import { type Waiting, waiting } from "./erlang.ts";
import { type Given, incoming } from "./flows.ts";
import { funnel, simulateFunnel } from "./funnel.ts";
import { type Outage, playOutage } from "./outage.ts";
import { deadbanded, type LineLoad } from "./rates.ts";
import { type Simulated, simulateSenders } from "./simulate-senders.ts";
import { sizeOf } from "./sizes.ts";
import type { PlanTools, Sized, UplinkLoad } from "./types.ts";
import { uplinkLoads } from "./uplinks.ts";

export interface PlanSettings extends Given {
  readonly outageSeconds: number;
  readonly rttMs: number;
  /** Messages a second that this machine sends at most. */
  readonly most: number;
  readonly freeBytes?: number;
  /** Senders at once, in place of the window. */
  readonly senders?: number;
  readonly funnel: { readonly first?: number; readonly consumers?: number; readonly stages: number };
  readonly seed: number;
  /** Whether the queueing view is wanted, which takes a second. */
  readonly queueing: boolean;
}

export interface SendersView {
  readonly uplink: string;
  readonly k: number;
  /** What `k` is. */
  readonly meaning: string;
  readonly messagesPerSecond: number;
  readonly serviceSeconds: number;
  readonly formula: Waiting;
  /** Absent at full load. */
  readonly simulated?: Simulated;
}

export interface FunnelView {
  readonly first: number;
  /** Whether `first` was worked out from the outage. */
  readonly fromOutage: boolean;
  readonly k: number;
  readonly formula: readonly number[];
  readonly simulated: readonly number[];
}

/** All that the plan says; `--json` prints it. Times are seconds unless named otherwise, rates are per second. */
export interface Plan {
  readonly gateway: string;
  readonly file: string;
  readonly settings: PlanSettings;
  readonly flows: readonly Sized[];
  readonly streams: StreamLoads;
  readonly lines: readonly LineLoad[];
  readonly uplinks: readonly UplinkLoad[];
  readonly buffer: Buffer;
  readonly outage: Outage;
  /** What is lost first when an outage lasts longer than the buffer; the same as of `outage` where that loses something. */
  readonly beyond: Outage;
  readonly card: Card;
  readonly senders: readonly SendersView[];
  readonly funnel: FunnelView;
  readonly deadbanded: number;
  /** Devices with tags that come when they come: nothing is known of how often. */
  readonly listened: readonly string[];
}

/** Of the time until the buffer is full, an outage that shows what goes first. */
const BEYOND = 3;

export function planOf(config: LoadedConfig, settings: PlanSettings, tools: PlanTools): Plan {
  const { flows, lines } = incoming(config, settings);
  const sized = sizesOf(config, flows, tools);
  const streams = streamLoads(sized, config.queue.segment);
  const uplinks = uplinkLoads(config, sized, tools, settings);
  const buffer = bufferOf(config.queue, streams, settings.freeBytes);
  const input = { loads: streams, uplinks, queue: config.queue, capacity: buffer.capacity, inUse: buffer.inUse };
  const outage = playOutage({ ...input, seconds: settings.outageSeconds });
  const first = firstLoss(buffer, uplinks);
  const beyond =
    outage.losses.length > 0 || first === undefined ? outage : playOutage({ ...input, seconds: first * BEYOND });
  return {
    gateway: config.gateway.id,
    file: config.file,
    settings,
    flows: sized,
    streams,
    lines,
    uplinks,
    buffer,
    outage,
    beyond,
    card: cardOf(config.queue, streams, sized, uplinks),
    senders: settings.queueing ? uplinks.flatMap((uplink) => sendersView(uplink, settings)) : [],
    funnel: funnelView(settings, uplinks.length),
    deadbanded: deadbanded(config),
    listened: listenedIn(config),
  };
}

function sizesOf(config: LoadedConfig, flows: readonly Sized["flow"][], tools: PlanTools): Sized[] {
  const senders = config.uplinks.map((uplink) => tools.sender(uplink, config));
  return flows.map((flow) => {
    const selected = senders.filter((sender) => sender.selects(flow.topic)).length;
    const beside = flows.filter(({ stream }) => stream === flow.stream);
    const perSecond = beside.reduce((sum, each) => sum + each.perSecond, 0);
    return sizeOf(flow, selected, perSecond, tools);
  });
}

/** Seconds until the buffer or the backlog of an uplink is at its limit. */
function firstLoss({ seconds = Infinity }: Buffer, uplinks: readonly UplinkLoad[]): number | undefined {
  const limits = uplinks.flatMap(({ maxBacklog: { age, bytes }, byStream }) => {
    const stored = byStream.events.storedPerSecond + byStream.telemetry.storedPerSecond;
    return [age === undefined ? Infinity : age / 1000, bytes === undefined || stored === 0 ? Infinity : bytes / stored];
  });
  const first = Math.min(seconds, ...limits);
  return Number.isFinite(first) && first > 0 ? first : undefined;
}

/** With the window, or as many senders as asked for; and with as few as keep up, where that is less. */
function sendersView(uplink: UplinkLoad, { rttMs, senders, seed }: PlanSettings): SendersView[] {
  const messagesPerSecond = uplink.recordsPerSecond * uplink.live.messages;
  const service = rttMs / 1000;
  if (messagesPerSecond === 0 || rttMs === 0) return [];
  const k = Math.min(senders ?? uplink.inFlight, 10_000);
  const fewest = fewestSenders(messagesPerSecond * service);
  const asked = senders === undefined ? "its window" : "--senders";
  const views = [{ k, meaning: asked }];
  if (fewest < k) views.push({ k: fewest, meaning: "fewest at most 80 % in use" });
  return views.map((view) => {
    const parts = { rate: messagesPerSecond, service, k: view.k };
    const simulated = simulateSenders(parts, seed);
    return {
      uplink: uplink.name,
      ...view,
      messagesPerSecond,
      serviceSeconds: service,
      formula: waiting(parts),
      ...(simulated === undefined ? {} : { simulated }),
    };
  });
}

const BUSY = 0.8;
function fewestSenders(load: number): number {
  return Math.max(1, Math.ceil(load / BUSY));
}

const DAY_S = 86_400;

function funnelView({ funnel: given, outageSeconds, seed }: PlanSettings, uplinks: number): FunnelView {
  const first = given.first ?? DAY_S / (DAY_S + outageSeconds);
  const k = given.consumers ?? Math.max(1, uplinks);
  const parts = { first, k, stages: given.stages };
  return {
    first,
    fromOutage: given.first === undefined,
    k,
    formula: funnel(parts),
    simulated: simulateFunnel(parts, seed),
  };
}

function listenedIn(config: LoadedConfig): string[] {
  const groups = config.links.flatMap(({ groups: all }) => all);
  return [
    ...new Set(
      groups
        .filter(({ requests, derived }) => requests.length === 0 && derived.length === 0)
        .map(({ device }) => device.name),
    ),
  ];
}
