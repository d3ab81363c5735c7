import type { PlanTools, Sender } from "./cli/plan/types.ts";
import type { LoadedConfig, LoadedUplink } from "./config/types.ts";
import type { Entry, NewRecord, Source } from "./core/record.ts";
import { selectorOf } from "./core/selector.ts";
import type { Outgoing, UplinkPolicy } from "./core/uplink.ts";
import { batchWithin, joined } from "./northbound/batcher.ts";
import type { EncodeContext, Encoder } from "./northbound/encoders/encoder.ts";
import { makeEncoder } from "./northbound/encoders/options.ts";
import { recordEncoder } from "./northbound/encoders/record.ts";
import { gzipped } from "./northbound/gzip.ts";
import { effective, type MqttOptions } from "./northbound/mqtt/options.ts";
import { FORWARDER_DEFAULTS } from "./northbound/options.ts";
import { wireBytes } from "./northbound/pace.ts";
import { ByteWriter } from "./queue/bytes.ts";
import { sourceKey } from "./queue/keys.ts";
import { encodeMeta } from "./queue/meta.ts";
import { encodeRecord } from "./queue/record.ts";
import { Sources } from "./queue/sources.ts";
import { selectionOf, topicsOf } from "./uplinks.ts";

/** Seqs of a queue that has run for a while. */
const SEQ = 1_234_567;
const EPOCH = 0x5eed_1234;
const CHAIN = "1f2e3d4c";
const NOTHING: NewRecord = {
  taken: { wallMs: 0, monoMs: 0, clock: "synced" },
  content: { kind: "message", topic: "", payload: new Uint8Array(), qos: 1, retain: false },
};
const BOOT = "8a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";

/** What `millrace plan` sizes records and messages with: the encoders that a running gateway uses. */
export function planTools(): PlanTools {
  const out = new ByteWriter();
  const sources = new Sources();
  const storedBytes = (record: NewRecord, uplinks: number): number => {
    const { content } = record;
    const source = content.kind === "samples" ? sources.of(content.source) : undefined;
    const chains = Array.from({ length: uplinks }, (_, slot) => ({ slot: slot + 1, head: SEQ - 2 }));
    return encodeRecord(out, 0, SEQ, record, source, chains).length;
  };
  return {
    storedBytes,
    dictionaryBytes: (source) => dictionaryBytes(source, sources),
    sender: (uplink, config) => senderOf(uplink, config, (record) => storedBytes(record, 1)),
  };
}

function dictionaryBytes(source: Source, sources: Sources): number {
  const { id, json } = sources.of(source);
  const key = sourceKey(id);
  return key.length + encodeMeta(0, key, json).length;
}

function senderOf(uplink: LoadedUplink, config: LoadedConfig, stored: (record: NewRecord) => number): Sender {
  const { name, module, options, shared } = uplink;
  const gatewayId = config.gateway.id;
  const policy = module.policy?.(options, { name, gatewayId }) ?? {};
  const encoder = policy.records === true ? recordEncoder : makeEncoder(shared.encoder);
  const { inFlight, maxBytes, properties } = limitsOf(module.name, options);
  const batch = encoder.joins === undefined ? undefined : batchWithin(policy.batch, maxBytes);
  const encoding: EncodeContext = {
    gatewayId,
    topics: topicsOf(shared, gatewayId, policy),
    envelope: !properties,
    historical: false,
  };
  const selector = selectorOf(selectionOf(uplink, config));
  const own = policy.records === true;
  return {
    format: own ? "its own" : shared.encoder.name,
    selects: (topic) => selector.matches(topic),
    inFlight,
    inFlightBytes: FORWARDER_DEFAULTS.maxInFlightBytes,
    maxRate: { ...policy.maxRate, ...shared.maxRate },
    ...(batch === undefined ? {} : { batch: { count: batch.count, bytes: batch.bytes, lingerMs: batch.lingerMs } }),
    messages(records, historical) {
      const sizes = messagesOf(records, encoder, { ...encoding, historical }, batch);
      // Bodies that are made at the moment of sending: about as long as what is stored.
      return own ? sizes.map((bytes, at) => bytes + stored(records[at] ?? records[0] ?? NOTHING)) : sizes;
    },
  };
}

function messagesOf(
  records: readonly NewRecord[],
  encoder: Encoder,
  encoding: EncodeContext,
  batch: UplinkPolicy["batch"],
): number[] {
  const entries = records.map(entryOf);
  const samples = entries.every(({ content }) => content.kind === "samples");
  // As the forwarder does: what may share a message names itself in its body.
  const envelope = encoding.envelope || (batch !== undefined && samples);
  const each = entries.map((entry) => ({ entry, messages: encoder.encode(entry, { ...encoding, envelope }) }));
  const { joins } = encoder;
  const [first] = each[0]?.messages ?? [];
  const single = each.every(({ messages }) => messages.length === 1);
  if (batch === undefined || joins === undefined || first === undefined || !samples || !single)
    return each.flatMap(({ messages }) => messages.map(wireBytes));
  const items = each.flatMap(({ entry, messages }) => messages.map(({ payload }) => ({ entry, body: payload })));
  const whole: Outgoing = joined(first, items, joins);
  return [wireBytes(batch.gzip === true ? gzipped(whole) : whole)];
}

function entryOf({ taken, content }: NewRecord, at: number): Entry {
  const seq = SEQ + at;
  return {
    stream: "telemetry",
    seq,
    epoch: EPOCH,
    prev: seq - 1,
    chain: CHAIN,
    bootId: BOOT,
    monoMs: taken.monoMs,
    wallMs: taken.wallMs,
    clock: "synced",
    content,
    bytes: 0,
  };
}

interface WireLimits {
  readonly inFlight: number;
  readonly maxBytes?: number;
  /** Whether properties travel beside the body. */
  readonly properties: boolean;
}

/** What is known of an uplink before it has connected. */
function limitsOf(type: string, options: unknown): WireLimits {
  if (type === "mqtt") {
    const { inFlight, maxPacket, envelope, version } = effective(options as MqttOptions);
    const properties = envelope === "auto" ? version !== 4 : !envelope;
    return { inFlight, properties, ...(maxPacket === undefined ? {} : { maxBytes: maxPacket }) };
  }
  return { inFlight: numberAt(options, "inFlight") ?? 64, properties: true };
}

function numberAt(options: unknown, key: string): number | undefined {
  if (typeof options !== "object" || options === null) return undefined;
  const value: unknown = Object.entries(options).find(([name]) => name === key)?.[1];
  return typeof value === "number" ? value : undefined;
}
