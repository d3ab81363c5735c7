import { Buffer, isUtf8 } from "node:buffer";
import type { Entry, MessageContent } from "../../core/record.ts";
import type { Outgoing } from "../../core/uplink.ts";
import type { EncodeContext } from "./encoder.ts";
import { envelope, properties } from "./properties.ts";

/**
 * A captured message, byte for byte on its topic. With the envelope it is JSON, with `_m` first and the payload under
 * `payload`, `text` or `base64`, whichever holds it without loss.
 */
export function capturedMessage(entry: Entry, content: MessageContent, context: EncodeContext): Outgoing {
  return {
    topic: context.topics.record(content.topic),
    payload: context.envelope
      ? Buffer.from(`{"_m":${envelope(entry, context, undefined)},${payloadMember(content.payload)}}`)
      : content.payload,
    qos: 1,
    retain: content.retain,
    properties: context.envelope ? [] : properties(entry, context, undefined),
    ...(content.contentType === undefined || context.envelope ? {} : { contentType: content.contentType }),
  };
}

/** `"payload":…` with JSON as it stands, `"text":"…"` or `"base64":"…"`: what holds the bytes without loss. */
export function payloadMember(payload: Uint8Array): string {
  const held = payloadText(payload);
  if (held.base64 !== undefined) return `"base64":"${held.base64}"`;
  // The text itself goes in, not what was parsed: numbers beyond 2^53 would not survive that.
  return isJson(held.text) ? `"payload":${held.text}` : `"text":${JSON.stringify(held.text)}`;
}

/** The payload as text where it is UTF-8, else in base64. */
export function payloadText(
  payload: Uint8Array,
): { readonly text: string; readonly base64?: undefined } | { readonly text?: undefined; readonly base64: string } {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  return isUtf8(bytes) ? { text: bytes.toString("utf8") } : { base64: bytes.toString("base64") };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
