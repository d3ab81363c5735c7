import type { Instant, SentClockState } from "./clock.ts";
import type { Quality, Value } from "./sample.ts";

/**
 * What the queue stores. The bytes are in docs/decisions/001; this is the shape in memory.
 */
export type StreamName = "events" | "telemetry";
export const STREAMS: readonly StreamName[] = ["events", "telemetry"];

/** What a `samples` record needs to be encoded years later, after the configuration has changed. */
export interface Source {
  readonly link: string;
  readonly device: string;
  /** Names the scan group within the device, e.g. `1000ms`. */
  readonly group: string;
  /** The device's topic with every placeholder resolved. */
  readonly topic: string;
  readonly tags: readonly SourceTag[];
}
export interface SourceTag {
  readonly name: string;
  /** The configured type, e.g. `float32`. */
  readonly type: string;
  /** The engineering unit, e.g. `°C`. */
  readonly unit?: string;
}

/** A sample inside a record: its tag by name, its time as milliseconds after the record's own (may be negative). */
export interface StoredSample {
  readonly tag: string;
  readonly quality: Quality;
  readonly value?: Value;
  readonly reason?: string;
  readonly offsetMs: number;
}

export interface SamplesContent {
  readonly kind: "samples";
  readonly source: Source;
  readonly samples: readonly StoredSample[];
}

/** A message of a local MQTT client, as it came. */
export interface MessageContent {
  readonly kind: "message";
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly contentType?: string;
}

export type Content = SamplesContent | MessageContent;

/** What is appended. Seq, epoch, boot id and chains are the queue's to give. */
export interface NewRecord {
  readonly taken: Instant;
  readonly content: Content;
  /**
   * Forces the commit to be fsynced before `append` resolves, whatever `sync` says. Set for a captured QoS 1 or 2
   * message, whose PUBACK follows.
   */
  readonly durable?: boolean;
  /** Only these uplinks, whatever they select (command results go to the uplink the command came from). */
  readonly to?: readonly string[];
}

/** One record as one uplink is owed it. */
export interface Entry {
  readonly stream: StreamName;
  readonly seq: number;
  readonly epoch: number;
  /** The greatest seq below `seq` in this stream and epoch that this uplink selects; 0 when it is the chain's first. */
  readonly prev: number;
  /** Changes when the uplink's selection changes; `prev` is only meaningful within one chain. */
  readonly chain: string;
  readonly bootId: string;
  readonly monoMs: number;
  /** Computed anew from `monoMs` when `clock` is `corrected`. */
  readonly wallMs: number;
  readonly clock: SentClockState;
  /** With `corrected` only: `wallMs` may be wrong by this much, either way. */
  readonly uncertaintyMs?: number;
  readonly content: Content;
  /** Size of the stored record in bytes. */
  readonly bytes: number;
}

/** Why records left an uplink's debt other than by its acknowledgement. */
export type GapReason = "dropped" | "damaged" | "rejected" | "expired" | "power-loss" | "retention" | "refused";

/**
 * A coalesced range of records that an uplink was owed and will never be sent. Told upstream in their place. With `refused`
 * they never had a seq: `to` is the last that was given before, `from` the next, and `refusal` tells it from others there.
 */
export interface Gap {
  readonly stream: StreamName;
  readonly epoch: number;
  readonly chain: string;
  /** First and last seq, inclusive. */
  readonly from: number;
  readonly to: number;
  /** As in `Entry`: the greatest selected seq below `from`. */
  readonly prev: number;
  /** Wall time of the first and last record, Unix milliseconds, where known. */
  readonly tFrom?: number;
  readonly tTo?: number;
  /** Records of this uplink inside the range; the greatest possible number when `exact` is false. */
  readonly count: number;
  readonly bytes: number;
  readonly reason: GapReason;
  /** With `refused` only: eight hex digits. */
  readonly refusal?: string;
  /** False where the content could not be read: then `count` is never less than what is missing. */
  readonly exact: boolean;
}

/** `<gateway>/<stream>/<epoch>/<seq>`, the epoch as eight hex digits. Never used again for other bytes. */
export function recordId(gateway: string, stream: StreamName, epoch: number, seq: number): string {
  return `${gateway}/${stream}/${epochText(epoch)}/${seq}`;
}

export function epochText(epoch: number): string {
  return epoch.toString(16).padStart(8, "0");
}
