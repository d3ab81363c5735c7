import { Buffer } from "node:buffer";
import type { BootOffset } from "../core/clock.ts";
import type { UplinkStats } from "../core/queue.ts";
import { epochText, type Gap, recordId, type StreamName } from "../core/record.ts";
import type { Outgoing } from "../core/uplink.ts";
import type { TopicMapper } from "./topics.ts";

/** The gateway's own messages upstream. Bodies are JSON; they carry no properties, so they read alike in MQTT 3.1.1 and 5. */

export interface StatusFields {
  readonly state: "online" | "offline";
  readonly gateway: string;
  readonly uplink: string;
  /** Unix milliseconds; while the clock is not set `clock` and the monotonic `mono` of the boot in its place. */
  readonly ts?: number;
  readonly clock?: "unsynced";
  readonly mono?: number;
  readonly boot: string;
  readonly streams: Readonly<Record<StreamName, StatusStream>>;
}
export interface StatusStream {
  /** Eight hex digits. */
  readonly epoch: string;
  readonly chain: string;
  readonly lastTaken: number;
  readonly lastAcked: number;
}

/** `{…}/status`: what the uplink is owed and has acknowledged, retained. */
export function statusMessage(topics: TopicMapper, fields: StatusFields): Outgoing {
  return control(topics.control("status"), true, { type: "status", ...fields });
}

/** The same topic, published by the far side when we vanish. */
export function willMessage(topics: TopicMapper, gateway: string, uplink: string): Outgoing {
  const body = { type: "status", state: "offline", gateway, uplink, reason: "connection lost" };
  return control(topics.control("status"), true, body);
}

/**
 * `{…}/gap`: records this uplink will never be sent. Those that were refused never had a seq: they came `after` one, and
 * belong to no hole.
 */
export function gapMessage(topics: TopicMapper, gateway: string, gap: Gap): Outgoing {
  const { stream, epoch, chain, from, to, prev, tFrom, tTo, count, bytes, reason, exact } = gap;
  const { refusal } = gap;
  const id =
    refusal === undefined
      ? `${recordId(gateway, stream, epoch, from)}-${to}`
      : `${recordId(gateway, stream, epoch, to)}/${refusal}`;
  return control(topics.control("gap"), false, {
    type: "gap",
    gateway,
    id,
    stream,
    epoch: epochText(epoch),
    chain,
    ...(refusal === undefined ? { from, to, prev } : { after: to }),
    tFrom,
    tTo,
    count,
    bytes,
    reason,
    exact,
  });
}

/**
 * `{…}/clock`: the time of every record of this boot that was sent `unsynced` is its `mono` plus `offset`, in
 * milliseconds, give or take `uncertainty`.
 */
export function clockMessage(topics: TopicMapper, gateway: string, known: BootOffset): Outgoing {
  const { bootId, offsetMs, uncertaintyMs, source, knownAtMonoMs } = known;
  return control(topics.control("clock"), false, {
    type: "clock",
    gateway,
    boot: bootId,
    offset: Math.round(offsetMs * 1000) / 1000,
    uncertainty: uncertaintyMs,
    source,
    knownAt: Math.round(offsetMs + knownAtMonoMs),
  });
}

/** Per stream, what the status tells. */
export function statusStream(epoch: number, stats: UplinkStats | undefined, stream: StreamName): StatusStream {
  const of = stats?.streams[stream];
  return {
    epoch: epochText(epoch),
    chain: stats?.chain ?? "",
    lastTaken: of?.lastTaken ?? 0,
    lastAcked: of?.lastAcked ?? 0,
  };
}

function control(topic: string, retain: boolean, body: object): Outgoing {
  return { topic, payload: Buffer.from(JSON.stringify(body)), qos: 1, retain, properties: [] };
}
