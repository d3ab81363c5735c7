import type { IConnectPacket, IPublishPacket } from "mqtt-packet";

/** What a cloud server allows one connection; a limit that is absent is not watched. */
export interface ServerLimits {
  /** Each with one second's worth at once. */
  readonly publishesPerSecond?: number;
  readonly bytesPerSecond?: number;
  readonly connectsPerSecond?: number;
  readonly inFlight?: number;
  /** Bytes of a body, and of a whole packet. */
  readonly maxPayload?: number;
  readonly maxPacket?: number;
  /** Levels of a topic, its bytes, and what it must look like. */
  readonly topicLevels?: number;
  readonly topicBytes?: number;
  readonly topicPattern?: RegExp;
  readonly maxQos?: 0 | 1 | 2;
  readonly keepaliveS?: readonly [least: number, most: number];
  readonly clientIdBytes?: number;
  readonly retain?: boolean;
  readonly willRetain?: boolean;
  /** Bytes of the will's payload. */
  readonly maxWill?: number;
}

/** A second's worth at most, refilled evenly: the server's own count, apart from the client's. */
class Bucket {
  #tokens: number | undefined;
  #atMs = 0;

  /** Whether it was within the rate. */
  take(perSecond: number, amount: number, nowMs: number): boolean {
    const before = this.#tokens ?? perSecond;
    const tokens = Math.min(perSecond, before + ((nowMs - this.#atMs) * perSecond) / 1000);
    this.#atMs = nowMs;
    this.#tokens = tokens - amount;
    return this.#tokens >= -1e-6;
  }
}

/** Counts what goes beyond the limits of a server. Rates are over all connections of a client. */
export class LimitWatch {
  readonly #publishes = new Bucket();
  readonly #bytes = new Bucket();
  readonly #connects = new Bucket();

  connect(limits: ServerLimits, packet: IConnectPacket, nowMs: number): string[] {
    const found: string[] = [];
    const { keepaliveS, connectsPerSecond, clientIdBytes, willRetain, maxWill } = limits;
    const keepalive = packet.keepalive ?? 0;
    if (keepaliveS && (keepalive < keepaliveS[0] || keepalive > keepaliveS[1])) found.push(`keepalive ${keepalive}`);
    if (connectsPerSecond !== undefined && !this.#connects.take(connectsPerSecond, 1, nowMs))
      found.push("connect rate");
    if (clientIdBytes !== undefined && Buffer.byteLength(packet.clientId) > clientIdBytes) found.push("client id");
    if (packet.will?.retain && willRetain === false) found.push("retained will");
    if (packet.will && maxWill !== undefined && packet.will.payload.length > maxWill) found.push("size of the will");
    if (packet.will) found.push(...topicFaults(limits, packet.will.topic));
    return found;
  }

  publish(limits: ServerLimits, packet: IPublishPacket, bytes: number, unacked: number, nowMs: number): string[] {
    const found = topicFaults(limits, packet.topic);
    const { publishesPerSecond, bytesPerSecond, inFlight, maxPayload, maxPacket, maxQos, retain } = limits;
    if (publishesPerSecond !== undefined && !this.#publishes.take(publishesPerSecond, 1, nowMs)) {
      found.push("publish rate");
    }
    if (bytesPerSecond !== undefined && !this.#bytes.take(bytesPerSecond, bytes, nowMs)) found.push("byte rate");
    if (inFlight !== undefined && unacked > inFlight) found.push(`${unacked} in flight`);
    if (maxPayload !== undefined && packet.payload.length > maxPayload) found.push(`body of ${packet.payload.length}`);
    if (maxPacket !== undefined && bytes > maxPacket) found.push(`packet of ${bytes}`);
    if (maxQos !== undefined && packet.qos > maxQos) found.push(`QoS ${packet.qos}`);
    if (packet.retain && retain === false) found.push("retained");
    return found;
  }
}

function topicFaults({ topicLevels, topicBytes, topicPattern }: ServerLimits, topic: string): string[] {
  const found: string[] = [];
  if (topicLevels !== undefined && topic.split("/").length > topicLevels) found.push(`levels of ${topic}`);
  if (topicBytes !== undefined && Buffer.byteLength(topic) > topicBytes) found.push(`bytes of ${topic}`);
  if (topicPattern !== undefined && !topicPattern.test(topic)) found.push(`topic ${topic}`);
  return found;
}
