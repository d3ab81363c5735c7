import type { IConnackPacket } from "mqtt-packet";
import { ConfigError } from "../../core/errors.ts";
import type { Ask } from "./handshake.ts";
import {
  connackError,
  connackError311,
  QOS_NOT_SUPPORTED,
  RETAIN_NOT_SUPPORTED,
  UNSUPPORTED_VERSION,
} from "./reasons.ts";

/** What holds for one session, after the server had its say in CONNACK (MQTT 5, 3.2.2.3). */
export interface SessionTerms {
  readonly version: 4 | 5;
  readonly clientId: string;
  readonly keepaliveMs: number;
  readonly inFlight: number;
  /** Greatest packet the server takes. */
  readonly maxBytes: number;
  readonly retain: boolean;
}

/** 1.5.5: no packet is longer. */
const MAX_PACKET = 268_435_460;

/** @throws ConfigError when the server's terms do not allow at-least-once delivery. */
export function sessionTerms(ask: Ask, connack: IConnackPacket, inFlight: number, keepaliveMs: number): SessionTerms {
  const given = connack.properties ?? {};
  if (Number(given.maximumQoS ?? 2) < 1) {
    throw new ConfigError("the server takes only QoS 0: nothing could be delivered at least once");
  }
  const serverMs = (given.serverKeepAlive ?? 0) * 1000;
  return {
    version: ask.version,
    clientId: given.assignedClientIdentifier ?? ask.clientId,
    // Asking more often than the server wants is allowed, and finds a dead link sooner [MQTT-3.1.2-21].
    keepaliveMs: serverMs > 0 ? Math.min(serverMs, keepaliveMs) : keepaliveMs,
    inFlight: Math.min(inFlight, given.receiveMaximum ?? 65_535),
    maxBytes: given.maximumPacketSize ?? MAX_PACKET,
    retain: given.retainAvailable ?? true,
  };
}

/**
 * What to do about a CONNACK that is no success: ask differently at once, or give up with an error.
 * @param mayFallBack whether MQTT 3.1.1 may be tried.
 */
export function refusal(ask: Ask, connack: IConnackPacket, mayFallBack: boolean): Ask | Error {
  const { reasonCode, returnCode } = connack;
  if (reasonCode === undefined || ask.version === 4) {
    if (returnCode === 1 && ask.version === 5 && mayFallBack) return { ...ask, version: 4 };
    return connackError311(returnCode ?? reasonCode ?? 0);
  }
  if (reasonCode === UNSUPPORTED_VERSION && mayFallBack) return { ...ask, version: 4 };
  // 3.1.2.5: a server without retained messages or QoS 1 refuses the will alone.
  if (reasonCode === RETAIN_NOT_SUPPORTED && ask.willRetain) return { ...ask, willRetain: false };
  if (reasonCode === QOS_NOT_SUPPORTED && ask.willQos > 0) return { ...ask, willQos: 0 };
  return connackError(reasonCode, connack.properties?.reasonString);
}
