import { type Entry, recordId, type StreamName } from "../../core/record.ts";
import type { Quality } from "../../core/sample.ts";
import type { EncodeContext } from "./encoder.ts";
import { quote } from "./json.ts";

type Pair = readonly [string, string];

/** Pairs that repeat in every message. */
const CLOCK: Readonly<Record<string, Pair>> = {
  synced: ["clock", "synced"],
  unsynced: ["clock", "unsynced"],
  corrected: ["clock", "corrected"],
};
const QUALITY: Readonly<Record<Quality, Pair>> = {
  good: ["quality", "good"],
  stale: ["quality", "stale"],
  bad: ["quality", "bad"],
};

interface Prefix {
  readonly gatewayId: string;
  readonly epoch: number;
  readonly text: string;
}
/** The last id's text before its seq, per stream: it is the same for millions of records. */
const prefixes = new Map<StreamName, Prefix>();

export function idOf(entry: Entry, gatewayId: string): string {
  const { stream, epoch, seq } = entry;
  let prefix = prefixes.get(stream);
  if (prefix?.epoch !== epoch || prefix.gatewayId !== gatewayId) {
    prefix = { gatewayId, epoch, text: recordId(gatewayId, stream, epoch, 0).slice(0, -1) };
    prefixes.set(stream, prefix);
  }
  return prefix.text + seq;
}
const HISTORICAL: Pair = ["historical", "1"];

/** One of the messages of a record that needs several: the record is complete with all of them. */
export interface PartOf {
  /** From 1. */
  readonly number: number;
  readonly of: number;
}

/** What proves completeness, beside the body: MQTT 5 user properties and their like. */
export function properties(
  entry: Entry,
  { gatewayId, historical }: EncodeContext,
  quality: Quality | undefined,
  part?: PartOf,
): readonly Pair[] {
  const pairs: Pair[] = [
    ["id", idOf(entry, gatewayId)],
    ["prev", String(entry.prev)],
    ["chain", entry.chain],
    CLOCK[entry.clock] ?? ["clock", entry.clock],
  ];
  if (quality !== undefined) pairs.push(QUALITY[quality]);
  if (historical) pairs.push(HISTORICAL);
  if (entry.clock === "unsynced") pairs.push(["boot", entry.bootId], ["mono", String(Math.round(entry.monoMs))]);
  if (entry.uncertaintyMs !== undefined) pairs.push(["uncertainty", String(entry.uncertaintyMs)]);
  if (isDated(entry)) pairs.push(["ts", String(Math.round(entry.wallMs))]);
  if (part !== undefined && part.of > 1) pairs.push(["part", `${part.number}/${part.of}`]);
  return pairs;
}

/** A captured message has no `ts` of ours in its body: a corrected time that is told nowhere would be none. */
function isDated({ clock, content }: Entry): boolean {
  return clock === "corrected" && content.kind === "message";
}

/** The same as a JSON object, for the body; `prev`, `historical`, `mono`, `uncertainty` and `ts` are numbers there. */
export function envelope(
  entry: Entry,
  { gatewayId, historical }: EncodeContext,
  quality: Quality | undefined,
  part?: PartOf,
): string {
  const id = idOf(entry, gatewayId);
  let text = `{"id":${JSON.stringify(id)},"prev":${entry.prev},"chain":${quote(entry.chain)},"clock":"${entry.clock}"`;
  if (historical) text += `,"historical":1`;
  if (quality !== undefined) text += `,"quality":"${quality}"`;
  if (entry.clock === "unsynced") text += `,"boot":${quote(entry.bootId)},"mono":${Math.round(entry.monoMs)}`;
  if (entry.uncertaintyMs !== undefined) text += `,"uncertainty":${entry.uncertaintyMs}`;
  if (isDated(entry)) text += `,"ts":${Math.round(entry.wallMs)}`;
  if (part !== undefined && part.of > 1) text += `,"part":"${part.number}/${part.of}"`;
  return `${text}}`;
}
