import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";

/** One step on the way of a sample. Times are Unix milliseconds, with fractions. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  /** Absent for the first of a trace. */
  readonly parentId?: string;
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  /** Why it went wrong, where it did. */
  readonly error?: string;
}

/** Who the spans are from. */
export interface Origin {
  readonly gatewayId: string;
  readonly version: string;
}

const INTERNAL = 1;
const STATUS_ERROR = 2;

export function newTraceId(): string {
  return randomBytes(16).toString("hex");
}
export function newSpanId(): string {
  return randomBytes(8).toString("hex");
}

/**
 * The body of an OTLP/HTTP request, JSON encoding of ExportTraceServiceRequest: ids as hex, 64-bit numbers as text
 * (OTLP 1.x, "JSON Protobuf Encoding").
 */
export function otlpBody(spans: readonly Span[], { gatewayId, version }: Origin): Buffer {
  const resource = { "service.name": "millrace", "service.instance.id": gatewayId, "service.version": version };
  return Buffer.from(
    JSON.stringify({
      resourceSpans: [
        {
          resource: { attributes: attributesOf(resource) },
          scopeSpans: [{ scope: { name: "millrace", version }, spans: spans.map(spanOf) }],
        },
      ],
    }),
  );
}

function spanOf({ traceId, spanId, parentId, name, startMs, endMs, attributes, error }: Span): object {
  return {
    traceId,
    spanId,
    ...(parentId === undefined ? {} : { parentSpanId: parentId }),
    name,
    kind: INTERNAL,
    startTimeUnixNano: nanos(startMs),
    endTimeUnixNano: nanos(Math.max(startMs, endMs)),
    attributes: attributesOf(attributes),
    status: error === undefined ? {} : { code: STATUS_ERROR, message: error },
  };
}

function nanos(ms: number): string {
  return (BigInt(Math.round(ms * 1000)) * 1000n).toString();
}

function attributesOf(attributes: Span["attributes"]): object[] {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: anyValue(value) }));
}

function anyValue(value: string | number | boolean): object {
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}
