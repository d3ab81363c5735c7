import { ConfigError, NotConnectedError } from "../../core/errors.ts";
import type { Verdict } from "../../core/uplink.ts";
import { ServerBusyError } from "../busy.ts";

/** What the codes of MQTT 5 (2.4) and the return codes of 3.1.1 (3.2.2.3) mean for us. */

const NAMES: Readonly<Record<number, string>> = {
  128: "unspecified error",
  129: "malformed packet",
  130: "protocol error",
  131: "implementation specific error",
  132: "unsupported protocol version",
  133: "client identifier not valid",
  134: "bad user name or password",
  135: "not authorized",
  136: "server unavailable",
  137: "server busy",
  138: "banned",
  139: "server shutting down",
  140: "bad authentication method",
  141: "keep alive timeout",
  142: "session taken over",
  143: "topic filter invalid",
  144: "topic name invalid",
  145: "packet identifier in use",
  147: "receive maximum exceeded",
  149: "packet too large",
  150: "message rate too high",
  151: "quota exceeded",
  152: "administrative action",
  153: "payload format invalid",
  154: "retain not supported",
  155: "QoS not supported",
  156: "use another server",
  157: "server moved",
  158: "shared subscriptions not supported",
  159: "connection rate exceeded",
  161: "subscription identifiers not supported",
  162: "wildcard subscriptions not supported",
};
const NAMES_311: Readonly<Record<number, string>> = {
  1: "unacceptable protocol version",
  2: "identifier rejected",
  3: "server unavailable",
  4: "bad user name or password",
  5: "not authorized",
};

export const UNSUPPORTED_VERSION = 0x84;
export const RETAIN_NOT_SUPPORTED = 0x9a;
export const QOS_NOT_SUPPORTED = 0x9b;
const PACKET_ID_IN_USE = 0x91;
const TAKEN_OVER = 0x8e;

/** What the server wants a person to change. */
const CONFIGURATION = new Set([0x85, 0x86, 0x87, 0x8a, 0x8c, 0x90, 0x95, 0x9c, 0x9d, UNSUPPORTED_VERSION]);
/** The server asks for a pause. */
const BUSY = new Set([0x88, 0x89, 0x96, 0x97, 0x9f]);
const BUSY_PAUSE_MS = 30_000;

const NOT_AUTHORIZED_PAUSE_MS = 300_000;
/** Codes that are final for a message, after so many tries. */
const FINAL = new Set([0x90, 0x99]);
const FINAL_TRIES = 3;

/** `0x87 not authorized`, with what the server added. */
export function reasonText(code: number, added?: string): string {
  const text = `0x${code.toString(16).padStart(2, "0")} ${NAMES[code] ?? "unknown reason"}`;
  return added === undefined || added === "" ? text : `${text} (${added.slice(0, 200)})`;
}

/** A CONNACK of MQTT 5 that is no success. */
export function connackError(code: number, added: string | undefined): Error {
  const text = `the server refused the connection: ${reasonText(code, added)}`;
  if (CONFIGURATION.has(code)) return new ConfigError(text);
  return BUSY.has(code) ? new ServerBusyError(text, BUSY_PAUSE_MS) : new NotConnectedError(text);
}

/** A CONNACK of MQTT 3.1.1 that is no success. */
export function connackError311(code: number): Error {
  const text = `the server refused the connection: ${code} ${NAMES_311[code] ?? "unknown return code"}`;
  return code === 3 ? new ServerBusyError(text, BUSY_PAUSE_MS) : new ConfigError(text);
}

/** A DISCONNECT of the server. That somebody else uses our client id is a fault of configuration: no pause cures it. */
export function disconnectError(code: number, added: string | undefined, clientId: string): Error {
  const text = `the server disconnected: ${reasonText(code, added)}`;
  if (code === TAKEN_OVER) return new ConfigError(`${text}; another client uses the client id ${clientId}`);
  return BUSY.has(code) ? new ServerBusyError(text, BUSY_PAUSE_MS) : new NotConnectedError(text);
}

/**
 * A PUBACK's reason code. `tries` counts how often this message got it, this time included.
 * @returns the verdict, or "reconnect" when both sides do not agree on what is in flight.
 */
export function pubackVerdict(code: number, tries: number): Verdict | "reconnect" {
  // 0x10: there is no subscriber; that is the receiver's affair.
  if (code < 0x80) return { kind: "ack" };
  if (code === PACKET_ID_IN_USE) return "reconnect";
  const reason = reasonText(code);
  if (FINAL.has(code) && tries >= FINAL_TRIES) return { kind: "reject", reason };
  if (code === 0x87) return { kind: "retry", reason, afterMs: NOT_AUTHORIZED_PAUSE_MS, alarm: true };
  return { kind: "retry", reason };
}

/** Codes that only a person can cure are worth an alarm. */
export function isAlarm(code: number): boolean {
  return code === 0x87;
}
