import type { z } from "zod";
import type { Clock } from "./clock.ts";
import type { Logger } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { AcceptRule } from "./options/accept.ts";
import type { SecretRef } from "./options/units.ts";
import type { Plant } from "./plant.ts";
import type { Entry } from "./record.ts";
import type { Secret } from "./secret.ts";

/** What became of one message. */
export type Verdict =
  | { readonly kind: "ack" }
  /** Send it again; `afterMs` is the least pause the far side asks for. */
  | {
      readonly kind: "retry";
      readonly reason: string;
      readonly afterMs?: number;
      /** Only a person can cure it. */
      readonly alarm?: boolean;
      /** The connection is gone, and there was no answer: whether the message had been handed over. */
      readonly unanswered?: "sent" | "unsent";
    }
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
  /** Tells who asked what this answers (MQTT 5 correlation data); left out where it does not travel. */
  readonly correlation?: Uint8Array;
  /** An answer to somebody whose topic nobody vouches for: when the far side refuses it, it counts as acknowledged. */
  readonly optional?: boolean;
  /** Of what must stay in order among itself: the source's topic. For uplinks that ask for it (`UplinkPolicy.keys`). */
  readonly key?: string;
  /** For uplinks that make bodies themselves (`UplinkPolicy.records`); `payload` then only stands for its size. */
  readonly record?: OutgoingRecord;
}

export interface OutgoingRecord {
  readonly entry: Entry;
  /** From the past, sent beside live ones. */
  readonly historical: boolean;
}

/** One message on its way down. */
export interface Incoming {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly properties: readonly (readonly [string, string])[];
  /** Where the sender wants an answer, and with what (MQTT 5). */
  readonly responseTopic?: string;
  readonly correlation?: Uint8Array;
}

/** What became of a message on its way down: on disk here, or refused for good. */
export type Taken = "kept" | "refused";

/** Where an uplink puts what comes down. */
export interface Downlink {
  /**
   * Resolves when the far side may forget it.
   * @throws when it may be given again: nothing was begun.
   */
  take(message: Incoming): Promise<Taken>;
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

  /** What will need a person soon, such as a certificate that ends. */
  notice?(): string | undefined;

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
  /** Where messages go that the options accept. */
  readonly downlink?: Downlink;
  /** @throws ConfigError naming the variable or file, when it is not there. Read anew at each call. */
  secret(ref: SecretRef): Secret;
  /** A path of the configuration, made absolute against the configuration's folder. */
  path(relative: string): string;
  /** What there is besides the records; absent where there is no gateway around it. */
  readonly plant?: Plant;
  /** Absolute folder for what has to outlive the process; may have to be made. Absent: nothing outlives it. */
  readonly dataDir?: string;
}

/** One fault that a schema cannot express, at a path inside the options. */
export interface OptionFault {
  readonly path: readonly (string | number)[];
  readonly message: string;
  /** It works, but is seldom meant. */
  readonly warning?: boolean;
}

/** What topics the far side takes. */
export interface TopicLimits {
  readonly levels: number;
  readonly bytes: number;
  readonly charset: "utf8" | "ascii";
}

/** Topics of a far side that knows only its own: `{client}`, `{topic}` and `{kind}` are replaced. */
export interface TopicForm {
  readonly record: string;
  /** Of gaps, clocks and, unless `status` says otherwise, the status. */
  readonly control: string;
  readonly status?: string;
}

/** Keys of the configuration that all kinds of uplinks share, as far as a kind has to know them. */
export interface UplinkShared {
  /** Name of the format. */
  readonly encoder?: string;
  readonly maxRate: { readonly messages?: number | undefined; readonly bytes?: number | undefined };
}

/** What the far side asks of the forwarder, from its options. */
export interface UplinkPolicy {
  /** Where the configuration says nothing else. */
  readonly maxRate?: { readonly messages?: number | undefined; readonly bytes?: number | undefined };
  /** Several records in one message. */
  readonly batch?: {
    readonly count: number;
    readonly bytes: number;
    readonly lingerMs: number;
    /** Bodies compressed where that makes them smaller. */
    readonly gzip?: boolean;
  };
  /** Between two connections at least. */
  readonly leastPauseMs?: number;
  readonly topics?: TopicLimits;
  readonly form?: TopicForm;
  /** What `{client}` in the form stands for. */
  readonly client?: string;
  /** What comes down, placeholders resolved. */
  readonly accept?: readonly AcceptRule[];
  /** Whether the far side gives us back what we publish ourselves, where it matches `accept`. */
  readonly echoes?: "never" | "always" | "perhaps";
  /** Messages carry a key. */
  readonly keys?: boolean;
  /** The uplink makes the bodies itself, at the moment of sending: it is given the records, and `encoder` is not used. */
  readonly records?: boolean;
}

/** What a folder of northbound exports. */
export interface UplinkModule {
  /** The `type` in the configuration. */
  readonly name: string;
  /** Keys beside the shared ones and `type`. A strict object. */
  readonly schema: z.ZodObject;
  /** No I/O but reading the files it names. */
  check(options: unknown, shared?: UplinkShared): readonly OptionFault[];
  /** Why the far side will not take this topic upstream, with the cure; undefined when it will. */
  topicFault?(options: unknown, topic: string): string | undefined;
  /** Whether it tells the far side of its devices when it starts, and so has to start again when they change. */
  readonly tellsPlant?: boolean;
  /** What its options mean for the forwarder. */
  policy?(options: unknown, context: Pick<UplinkContext, "name" | "gatewayId">): UplinkPolicy;
  create(options: unknown, context: UplinkContext): Uplink;
}
