import type { z } from "zod";
import type { Clock } from "./clock.ts";
import type { Logger } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { SecretRef } from "./options/units.ts";
import type { Secret } from "./secret.ts";

/** What became of one message. */
export type Verdict =
  | { readonly kind: "ack" }
  /** Send it again; `afterMs` is the least pause the far side asks for. */
  | { readonly kind: "retry"; readonly reason: string; readonly afterMs?: number }
  /** Never send it again. */
  | { readonly kind: "reject"; readonly reason: string };

/**
 * One message on its way up. The forwarder and its encoder made it; the uplink puts it on its wire and knows nothing of
 * records.
 */
export interface Outgoing {
  /** The topic before the uplink's own mapping, e.g. `plant/line-1/press-1`. */
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly contentType?: string;
  /** Record id, prev and the rest, as MQTT 5 user properties, Kafka headers or AMQP properties. */
  readonly properties: readonly (readonly [string, string])[];
}

/** What the far side allows, known after connecting. */
export interface UplinkLimits {
  /** Messages without a verdict at once. */
  readonly inFlight: number;
  /** Greatest size of one encoded message on the wire, where there is a limit. */
  readonly maxBytes?: number;
  /** False where properties do not travel (MQTT 3.1.1): the encoder then puts them into the body. */
  readonly properties: boolean;
  /** How long a message may be without a verdict before the connection is given up; absent: the forwarder's own limit. */
  readonly ackTimeoutMs?: number;
}

/**
 * One upstream system. Order in, a verdict per message out, in any order. It never reconnects and never retries by
 * itself: that is the forwarder's.
 */
export interface Uplink {
  /**
   * Connects. The signal bounds this call, not the connection. `onLost` is called once when the connection ends later,
   * after every message in flight got the verdict `retry`.
   * @throws NotConnectedError: try again with back-off. ConfigError: stop.
   */
  connect(onLost: (error: Error) => void, signal: AbortSignal): Promise<UplinkLimits>;

  /**
   * Sends in order; resolves when the transport can take more. `verdict` is called exactly once for each index, before
   * or after the promise settles. Never more than `inFlight` messages are without a verdict.
   * @throws NotConnectedError when there is no connection (each message not handed over gets `retry`).
   */
  send(batch: readonly Outgoing[], verdict: (index: number, v: Verdict) => void, signal: AbortSignal): Promise<void>;

  /** Says goodbye and frees everything. Idempotent, never rejects; messages in flight get `retry`. */
  close(): Promise<void>;
}

/** What an uplink is made with, besides its own options. */
export interface UplinkContext {
  readonly name: string;
  readonly gatewayId: string;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Whether a certificate can be judged; a clock that counts as set where it is absent. */
  readonly clock?: Clock;
  /** Last words the far side publishes for us when we vanish, where it can (MQTT will). */
  readonly will?: Outgoing;
  /** @throws ConfigError naming the variable or file, when it is not there. Read anew at each call. */
  secret(ref: SecretRef): Secret;
  /** A path of the configuration, made absolute against the configuration's folder. */
  path(relative: string): string;
}

/** One fault that a schema cannot express, at a path inside the options. */
export interface OptionFault {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** What a folder of northbound exports. */
export interface UplinkModule {
  /** The `type` in the configuration. */
  readonly name: string;
  /** Keys beside the shared ones and `type`. A strict object. */
  readonly schema: z.ZodObject;
  /** No I/O but reading the files it names. */
  check(options: unknown): readonly OptionFault[];
  create(options: unknown, context: UplinkContext): Uplink;
}
