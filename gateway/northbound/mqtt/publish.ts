import { Buffer } from "node:buffer";
import { messageOf } from "../../core/errors.ts";
import { checkTopic } from "../../core/selector.ts";
import type { Outgoing } from "../../core/uplink.ts";

const CHUNK = 64 * 1024;
/** Header byte, and the greatest length field. */
const MAX_HEADER = 5;
const TOPICS = 1024;
const PUBLISH_QOS1 = 0x32;
const RETAIN = 0x01;
const EXPIRY = 0x02;
const CONTENT_TYPE = 0x03;
const CORRELATION = 0x09;
const TOPIC_ALIAS = 0x23;
const USER_PROPERTY = 0x26;

export interface PublishSettings {
  /** 5, or 4 for MQTT 3.1.1. */
  readonly version: 4 | 5;
  /** Whether the outgoing's properties are written as user properties. */
  readonly properties: boolean;
  /** Greatest packet the server takes. */
  readonly maxBytes: number;
  /** Whether the retain flag may be set. */
  readonly retain: boolean;
  /** Message Expiry Interval of each, MQTT 5. */
  readonly expiryS?: number;
  /** Topic Alias Maximum of the server, MQTT 5; 0 or absent: none are used. */
  readonly aliases?: number;
}

/**
 * Writes PUBLISH packets of QoS 1 one after the other into one buffer, so that a batch is one write to the socket. The
 * general packet writer makes a dozen small writes for each, which is most of what a message costs.
 */
export class PublishWriter {
  readonly #settings: PublishSettings;
  /** Each topic as bytes, or why it cannot be published to. */
  readonly #topics = new Map<string, Buffer | string>();
  /** Topics that the server knows by a number for as long as the connection lasts [MQTT-3.3.2-7]. */
  readonly #aliases = new Map<string, number>();
  #buffer: Buffer = Buffer.allocUnsafeSlow(CHUNK);
  #start = 0;
  #end = 0;

  constructor(settings: PublishSettings) {
    this.#settings = settings;
  }

  /** Bytes written since `take`. */
  get size(): number {
    return this.#end - this.#start;
  }

  /** What was written; the bytes stay as they are. */
  take(): Buffer {
    const bytes = this.#buffer.subarray(this.#start, this.#end);
    this.#start = this.#end;
    return bytes;
  }

  /**
   * Appends one packet. DUP is never set: a packet is never sent twice over one connection [MQTT-3.3.1-1].
   * @returns why it cannot be sent, and then nothing was written.
   */
  append(message: Outgoing, packetId: number): string | undefined {
    const topic = this.#topic(message.topic);
    // The server would close the connection over it, each time anew [MQTT-3.3.2-2].
    if (typeof topic === "string") return topic;
    this.#reserve(this.#bound(message, topic));
    const begin = this.#end;
    // The length field is written last; the body is moved if it turns out shorter than five bytes allow for.
    const body = begin + MAX_HEADER;
    let at = body;
    const known = this.#aliases.get(message.topic);
    const alias = known ?? this.#newAlias();
    at = this.#buffer.writeUInt16BE(known === undefined ? topic.length : 0, at);
    if (known === undefined) at += topic.copy(this.#buffer, at);
    at = this.#buffer.writeUInt16BE(packetId, at);
    if (this.#settings.version === 5) {
      const after = this.#writeProperties(message, at, alias);
      if (after === undefined) return "a property has more than 65535 bytes";
      at = after;
    }
    this.#buffer.set(message.payload, at);
    at += message.payload.byteLength;
    const length = at - body;
    const header = 1 + varintSize(length);
    if (header + length > this.#settings.maxBytes) {
      return `${header + length} bytes, and the server takes ${this.#settings.maxBytes}`;
    }
    this.#buffer[begin] = PUBLISH_QOS1 | (message.retain && this.#settings.retain ? RETAIN : 0);
    writeVarint(this.#buffer, begin + 1, length);
    this.#buffer.copyWithin(begin + header, body, at);
    this.#end = begin + header + length;
    if (alias !== undefined && known === undefined) this.#aliases.set(message.topic, alias);
    return undefined;
  }

  #newAlias(): number | undefined {
    const { aliases = 0, version } = this.#settings;
    return version === 5 && this.#aliases.size < aliases ? this.#aliases.size + 1 : undefined;
  }

  /** Property Length and properties, 3.3.2.3. Undefined when one is too long to be written. */
  #writeProperties(message: Outgoing, start: number, alias: number | undefined): number | undefined {
    const buffer = this.#buffer;
    // One byte is nearly always too few and three too many.
    const guess = 2;
    const first = start + guess;
    let at = first;
    const { expiryS } = this.#settings;
    if (expiryS !== undefined) {
      buffer[at] = EXPIRY;
      at = buffer.writeUInt32BE(expiryS, at + 1);
    }
    if (alias !== undefined) {
      buffer[at] = TOPIC_ALIAS;
      at = buffer.writeUInt16BE(alias, at + 1);
    }
    if (message.contentType !== undefined) {
      buffer[at] = CONTENT_TYPE;
      at = writeString(buffer, at + 1, message.contentType);
      if (at < 0) return undefined;
    }
    if (message.correlation !== undefined) {
      if (message.correlation.byteLength > 0xffff) return undefined;
      buffer[at] = CORRELATION;
      at = buffer.writeUInt16BE(message.correlation.byteLength, at + 1);
      buffer.set(message.correlation, at);
      at += message.correlation.byteLength;
    }
    if (this.#settings.properties) {
      for (const [name, value] of message.properties) {
        buffer[at] = USER_PROPERTY;
        at = writeString(buffer, at + 1, name);
        if (at < 0) return undefined;
        at = writeString(buffer, at, value);
        if (at < 0) return undefined;
      }
    }
    const length = at - first;
    const size = varintSize(length);
    if (size !== guess) buffer.copyWithin(start + size, first, at);
    writeVarint(buffer, start, length);
    return start + size + length;
  }

  /** No packet of this message is longer. A UTF-16 unit takes at most three bytes. */
  #bound(message: Outgoing, topic: Buffer): number {
    let bound = MAX_HEADER + 2 + topic.length + 2 + 4 + message.payload.byteLength + 3 + 8;
    if (message.contentType !== undefined) bound += 3 * message.contentType.length;
    if (message.correlation !== undefined) bound += 3 + message.correlation.byteLength;
    for (const [name, value] of message.properties) bound += 5 + 3 * (name.length + value.length);
    return bound;
  }

  /** Only between packets; a packet that was begun stays in one buffer, and so do those not yet taken. */
  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#buffer.length) return;
    const pending = this.#buffer.subarray(this.#start, this.#end);
    const fresh = Buffer.allocUnsafeSlow(Math.max(CHUNK, 2 * pending.length + bytes));
    pending.copy(fresh);
    this.#buffer = fresh;
    this.#start = 0;
    this.#end = pending.length;
  }

  #topic(topic: string): Buffer | string {
    const known = this.#topics.get(topic);
    if (known !== undefined) return known;
    if (this.#topics.size >= TOPICS) this.#topics.clear();
    const made = topicBytes(topic);
    this.#topics.set(topic, made);
    return made;
  }
}

function topicBytes(topic: string): Buffer | string {
  try {
    checkTopic(topic);
    return Buffer.from(topic, "utf8");
  } catch (error) {
    return messageOf(error);
  }
}

/** A UTF-8 string with its length, 1.5.4. @returns where it ends; -1 when it is too long. */
function writeString(buffer: Buffer, at: number, text: string): number {
  const first = at + 2;
  let end = first;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) {
      end = first + buffer.write(text, first, "utf8");
      break;
    }
    buffer[end++] = code;
  }
  const length = end - first;
  if (length > 0xffff) return -1;
  buffer[at] = length >> 8;
  buffer[at + 1] = length & 0xff;
  return end;
}

function varintSize(value: number): number {
  if (value < 128) return 1;
  if (value < 16_384) return 2;
  return value < 2_097_152 ? 3 : 4;
}

function writeVarint(buffer: Buffer, start: number, value: number): void {
  let rest = value;
  let at = start;
  do {
    const byte = rest & 0x7f;
    rest >>>= 7;
    buffer[at++] = rest > 0 ? byte | 0x80 : byte;
  } while (rest > 0);
}
