import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import type { Clock } from "../../core/clock.ts";
import type { Content, NewRecord, StreamName } from "../../core/record.ts";

/** Who appends: two to each stream, so that batches are shared. The letter is that of the stream. */
export const LANES = ["e0", "e1", "t0", "t1"] as const;

export function streamOf(lane: string): StreamName {
  return lane.startsWith("e") ? "events" : "telemetry";
}

/** One record of the kill test: the `n`-th of a lane in a cycle. All its bytes follow from it. */
export interface Token {
  readonly cycle: number;
  readonly lane: string;
  readonly n: number;
}

export function tokenText({ cycle, lane, n }: Token): string {
  return `${cycle}.${lane}.${n}`;
}

export function parseToken(text: string): Token | undefined {
  const match = /^(\d+)\.([et]\d)\.(\d+)$/.exec(text);
  return match ? { cycle: Number(match[1]), lane: match[2] ?? "", n: Number(match[3]) } : undefined;
}

/** 20 to 800 bytes, the same for the same token. */
function textOf(token: string): string {
  const hash = crc32(token);
  const unit = hash.toString(36).padStart(7, "0");
  return `${token} ${unit.repeat(1 + (hash % 112))}`;
}

const SOURCE = {
  link: "selftest",
  device: "selftest",
  group: "1000ms",
  topic: "selftest/scan",
  tags: [{ name: "text", type: "string(1024)" }],
};

export function recordOf(token: Token, taken: ReturnType<Clock["now"]>, durable: boolean): NewRecord {
  const text = textOf(tokenText(token));
  return { taken, durable, content: contentOf(token.lane, text) };
}

/** One lane stores samples, so that dictionaries take part. */
function contentOf(lane: string, text: string): Content {
  if (lane !== "t1") {
    return { kind: "message", topic: "selftest/message", payload: Buffer.from(text), qos: 1, retain: false };
  }
  return { kind: "samples", source: SOURCE, samples: [{ tag: "text", quality: "good", value: text, offsetMs: 0 }] };
}

/** The token of a record as it came back; undefined where a byte of it is not as it was stored. */
export function tokenOf(content: Content): Token | undefined {
  const text =
    content.kind === "samples" ? content.samples[0]?.value : new TextDecoder().decode(Uint8Array.from(content.payload));
  if (typeof text !== "string") return undefined;
  const token = parseToken(text.split(" ", 1)[0] ?? "");
  if (token === undefined || text !== textOf(tokenText(token))) return undefined;
  const samples = token.lane === "t1";
  if (samples !== (content.kind === "samples")) return undefined;
  const topic = content.kind === "samples" ? content.source.topic : content.topic;
  return topic === (samples ? SOURCE.topic : "selftest/message") ? token : undefined;
}
