import type { Content, MessageContent, SamplesContent, Source, StoredSample } from "../core/record.ts";
import type { Quality, Value } from "../core/sample.ts";
import { type ByteReader, type ByteWriter, DamagedError } from "./bytes.ts";
import type { KnownSource } from "./sources.ts";

/** The content part of a record, as decision 001 lays it out. */

export const SAMPLES_KIND = 1;
export const MESSAGE_KIND = 2;

const HAS_OFFSET = 4;
const MIN_I64 = -(2n ** 63n);
const MAX_I64 = 2n ** 63n - 1n;
const MAX_U64 = 2n ** 64n - 1n;

/**
 * About how many bytes the record will take, for bounding memory and batches.
 * @throws RangeError when the content cannot be stored: a tag its source does not list, an integer beyond 64 bits.
 */
export function sizeOf(content: Content, source: KnownSource | undefined): number {
  if (content.kind === "message") return 48 + content.topic.length * 2 + content.payload.length;
  let bytes = 48;
  for (const sample of content.samples) {
    if (!source?.tagIndex.has(sample.tag)) throw new RangeError(`tag "${sample.tag}" is not in its source`);
    bytes += 12 + sizeOfValue(sample.value) + (sample.reason?.length ?? 0) * 2;
  }
  return bytes;
}

function sizeOfValue(value: Value | undefined): number {
  if (typeof value === "string") return value.length * 2;
  if (value instanceof Uint8Array) return value.length;
  if (typeof value === "bigint" && (value < MIN_I64 || value > MAX_U64)) {
    throw new RangeError("an integer value has at most 64 bits");
  }
  return 8;
}

export function writeContent(out: ByteWriter, content: Content, source: KnownSource | undefined): void {
  if (content.kind === "message") writeMessage(out, content);
  else if (source) writeSamples(out, content, source);
}

/** @throws DamagedError. `sourceOf` gives the dictionary entry of an id. */
export function readContent(
  bytes: ByteReader,
  kind: number,
  sourceOf: (id: number) => Source | undefined,
): SamplesContent | MessageContent {
  if (kind === MESSAGE_KIND) return readMessage(bytes);
  if (kind === SAMPLES_KIND) return readSamples(bytes, sourceOf);
  throw new DamagedError("record of an unknown kind");
}

function writeMessage(out: ByteWriter, message: MessageContent): void {
  out.u8((message.retain ? 1 : 0) | (message.qos << 1));
  out.text(message.topic);
  out.text(message.contentType ?? "");
  out.bytes(message.payload);
}

function readMessage(bytes: ByteReader): MessageContent {
  const flags = bytes.u8();
  const qos = (flags >> 1) & 3;
  if (qos === 3) throw new DamagedError("message with an impossible qos");
  const topic = bytes.text();
  const contentType = bytes.text();
  const message = {
    kind: "message",
    topic,
    payload: bytes.rest(),
    qos: qos === 0 ? 0 : qos === 1 ? 1 : 2,
    retain: (flags & 1) === 1,
  } as const;
  return contentType === "" ? message : { ...message, contentType };
}

function writeSamples(out: ByteWriter, content: SamplesContent, source: KnownSource): void {
  out.u32(source.id);
  out.varint(content.samples.length);
  for (const sample of content.samples) writeSample(out, sample, source.tagIndex.get(sample.tag) ?? 0);
}

function writeSample(out: ByteWriter, sample: StoredSample, index: number): void {
  const { value, quality, offsetMs } = sample;
  const kind = kindOf(value);
  out.varint(index);
  out.u8(QUALITY_CODE[quality] | (offsetMs === 0 ? 0 : HAS_OFFSET) | (kind << 3));
  if (offsetMs !== 0) out.zigzag(Math.round(offsetMs));
  if (value !== undefined) writeValue(out, value, kind);
  if (quality !== "good") out.text(sample.reason ?? "");
}

function readSamples(bytes: ByteReader, sourceOf: (id: number) => Source | undefined): SamplesContent {
  const source = sourceOf(bytes.u32());
  if (!source) throw new DamagedError("record of an unknown source");
  const count = bytes.varint();
  const samples: StoredSample[] = [];
  for (let i = 0; i < count; i++) samples.push(readSample(bytes, source));
  return { kind: "samples", source, samples };
}

function readSample(bytes: ByteReader, source: Source): StoredSample {
  const tag = source.tags[bytes.varint()];
  if (!tag) throw new DamagedError("sample of an unknown tag");
  const head = bytes.u8();
  const quality = QUALITIES[head & 3];
  if (!quality) throw new DamagedError("sample with an impossible quality");
  const offsetMs = head & HAS_OFFSET ? bytes.zigzag() : 0;
  const value = readValue(bytes, head >> 3);
  const sample: { tag: string; quality: Quality; offsetMs: number; value?: Value; reason?: string } = {
    tag: tag.name,
    quality,
    offsetMs,
  };
  if (value !== undefined) sample.value = value;
  if (quality !== "good") {
    const reason = bytes.text();
    if (reason !== "") sample.reason = reason;
  }
  return sample;
}

const QUALITY_CODE: Readonly<Record<Quality, number>> = { bad: 0, good: 1, stale: 2 };
const QUALITIES: readonly Quality[] = ["bad", "good", "stale"];

/** Bits 3 to 7 of a sample's head. */
const KIND = {
  none: 0,
  false: 1,
  true: 2,
  f64: 3,
  f32: 4,
  integer: 5,
  i64: 6,
  u64: 7,
  text: 8,
  bytes: 9,
} as const;

function kindOf(value: Value | undefined): number {
  switch (typeof value) {
    case "undefined":
      return KIND.none;
    case "boolean":
      return value ? KIND.true : KIND.false;
    case "number":
      if (Number.isSafeInteger(value) && !Object.is(value, -0)) return KIND.integer;
      return Math.fround(value) === value ? KIND.f32 : KIND.f64;
    case "bigint":
      return value > MAX_I64 ? KIND.u64 : KIND.i64;
    case "string":
      return KIND.text;
    default:
      return KIND.bytes;
  }
}

function writeValue(out: ByteWriter, value: Value, kind: number): void {
  if (typeof value === "number") {
    if (kind === KIND.integer) out.zigzag(value);
    else if (kind === KIND.f32) out.f32(value);
    else out.f64(value);
  } else if (typeof value === "bigint") {
    if (kind === KIND.u64) out.u64(value);
    else out.i64(value);
  } else if (typeof value === "string") {
    out.text(value);
  } else if (typeof value !== "boolean") {
    out.varint(value.length);
    out.bytes(value);
  }
}

function readValue(bytes: ByteReader, kind: number): Value | undefined {
  switch (kind) {
    case KIND.none:
      return undefined;
    case KIND.false:
      return false;
    case KIND.true:
      return true;
    case KIND.f64:
      return bytes.f64();
    case KIND.f32:
      return bytes.f32();
    case KIND.integer:
      return bytes.zigzag();
    case KIND.i64:
      return bytes.i64();
    case KIND.u64:
      return bytes.u64();
    case KIND.text:
      return bytes.text();
    case KIND.bytes:
      return bytes.bytes(bytes.varint());
    default:
      throw new DamagedError("sample with an unknown kind of value");
  }
}
