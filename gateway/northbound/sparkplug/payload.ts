import { create, fromBinary, isFieldSet, toBinary } from "@bufbuild/protobuf";
import type { Quality, Value } from "../../core/sample.ts";
import { DataType, fromWire, NO_VALUE, toWire, type WireValue } from "./datatype.ts";
import {
  MetricSchema,
  PayloadSchema,
  type PropertySet,
  PropertySetSchema,
  PropertyValueSchema,
  type Metric as WireMetric,
  type Payload as WirePayload,
} from "./payload_pb.ts";

/** One metric of a payload. Times are milliseconds since 1970, UTC. */
export interface Metric {
  readonly name?: string;
  readonly alias?: number;
  readonly timestamp?: number;
  readonly datatype?: number;
  readonly isHistorical?: boolean;
  readonly isTransient?: boolean;
  /** There is no value. */
  readonly isNull?: boolean;
  /** To encode: `datatype` or `valueType` has to be given with it. After decoding: only where the data type was in the message. */
  readonly value?: Value;
  /** To encode: the type of `value` where `datatype` is not to be sent. */
  readonly valueType?: DataType;
  /** After decoding: what was on the wire; `fromWire` reads it once the type is known from the birth. */
  readonly wire?: WireValue;
  readonly quality?: Quality;
}

export interface Payload {
  readonly timestamp?: number;
  /** 0 to 255. */
  readonly seq?: number;
  readonly metrics: readonly Metric[];
  readonly uuid?: string;
  readonly body?: Uint8Array;
}

const CODES = { good: 192, stale: 500, bad: 0 } as const;

/** @throws RangeError when a value does not fit its data type, or has none. */
export function encodePayload({ timestamp, seq, metrics, uuid, body }: Payload): Uint8Array {
  const payload = create(PayloadSchema, {
    ...(timestamp === undefined ? {} : { timestamp: timeOf(timestamp) }),
    ...(seq === undefined ? {} : { seq: BigInt(seq) }),
    ...(uuid === undefined ? {} : { uuid }),
    ...(body === undefined ? {} : { body }),
    metrics: metrics.map(wireOf),
  });
  return toBinary(PayloadSchema, payload);
}

/** @throws RangeError when the bytes are no payload. */
export function decodePayload(bytes: Uint8Array): Payload {
  let payload: WirePayload;
  try {
    payload = fromBinary(PayloadSchema, bytes);
  } catch (error) {
    throw new RangeError("not a Sparkplug B payload", { cause: error });
  }
  const has = (name: "timestamp" | "seq" | "uuid" | "body") => isFieldSet(payload, PayloadSchema.field[name]);
  return {
    metrics: payload.metrics.map(metricOf),
    ...(has("timestamp") ? { timestamp: Number(payload.timestamp) } : {}),
    ...(has("seq") ? { seq: Number(payload.seq) } : {}),
    ...(has("uuid") ? { uuid: payload.uuid } : {}),
    ...(has("body") ? { body: payload.body } : {}),
  };
}

function wireOf(metric: Metric): WireMetric {
  const { name, alias, timestamp, datatype, isHistorical, isTransient, value, quality } = metric;
  const isNull = metric.isNull === true || value === undefined;
  return create(MetricSchema, {
    ...(name === undefined ? {} : { name }),
    ...(alias === undefined ? {} : { alias: BigInt(alias) }),
    ...(timestamp === undefined ? {} : { timestamp: timeOf(timestamp) }),
    ...(datatype === undefined ? {} : { datatype }),
    ...(isHistorical === true ? { isHistorical } : {}),
    ...(isTransient === true ? { isTransient } : {}),
    ...(isNull ? { isNull } : {}),
    ...(quality === undefined ? {} : { properties: qualityOf(quality) }),
    value: isNull || value === undefined ? NO_VALUE : toWire(value, typeOf(metric)),
  });
}

function typeOf({ datatype, valueType, name, alias }: Metric): DataType {
  const type = valueType ?? Object.values(DataType).find((one) => one === datatype);
  if (type === undefined) throw new RangeError(`metric ${name ?? alias ?? ""} has a value and no data type`);
  return type;
}

function metricOf(wire: WireMetric): Metric {
  const has = (name: "name" | "alias" | "timestamp" | "datatype") => isFieldSet(wire, MetricSchema.field[name]);
  const quality = wire.properties === undefined ? undefined : qualityIn(wire.properties);
  const value = wire.isNull || !has("datatype") ? undefined : fromWire(wire.value, wire.datatype);
  return {
    ...(has("name") ? { name: wire.name } : {}),
    ...(has("alias") ? { alias: Number(wire.alias) } : {}),
    ...(has("timestamp") ? { timestamp: Number(wire.timestamp) } : {}),
    ...(has("datatype") ? { datatype: wire.datatype } : {}),
    ...(wire.isHistorical ? { isHistorical: true } : {}),
    ...(wire.isTransient ? { isTransient: true } : {}),
    ...(wire.isNull ? { isNull: true } : {}),
    ...(value === undefined ? {} : { value }),
    ...(wire.value.case === undefined ? {} : { wire: wire.value }),
    ...(quality === undefined ? {} : { quality }),
  };
}

/** The property `Quality`, an Int32 that is 192, 500 or 0. */
function qualityOf(quality: Quality): PropertySet {
  const value = create(PropertyValueSchema, {
    type: DataType.Int32,
    value: { case: "intValue", value: CODES[quality] },
  });
  return create(PropertySetSchema, { keys: ["Quality"], values: [value] });
}

function qualityIn({ keys, values }: PropertySet): Quality | undefined {
  const value = values[keys.indexOf("Quality")]?.value;
  if (value?.case !== "intValue") return undefined;
  if (value.value === CODES.good) return "good";
  return value.value === CODES.stale ? "stale" : "bad";
}

function timeOf(ms: number): bigint {
  return BigInt(Math.max(0, Math.round(ms)));
}
