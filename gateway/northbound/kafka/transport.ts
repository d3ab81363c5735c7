/** One message for a cluster. */
export interface KafkaMessage {
  readonly topic: string;
  /** Messages of one key keep their order. */
  readonly key: string;
  readonly value: Uint8Array;
  readonly headers: readonly (readonly [string, string])[];
}

/**
 * What a failure means for what was to be sent.
 * - `again`: the cluster is not ready; the same messages again, in the same order, over the same producer.
 * - `lost`: over a new connection.
 * - `content`: one of the messages will never be taken, or all of them are too much together.
 * - `topic`: a topic is not there or may not be written to; only a person can cure it, other topics are not concerned.
 * - `setup`: nothing can be sent until a person has cured it.
 */
export type FaultKind = "again" | "lost" | "content" | "topic" | "setup";

export class KafkaFault extends Error {
  readonly kind: FaultKind;

  constructor(kind: FaultKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "KafkaFault";
    this.kind = kind;
  }
}

/** A message on its way down, from one partition. */
export interface KafkaReceived {
  readonly topic: string;
  readonly key: string | undefined;
  readonly value: Uint8Array;
  readonly headers: readonly (readonly [string, string])[];
}

/** Between what this uplink is and the library that speaks to the cluster: narrow, so that the library can be replaced. */
export interface KafkaTransport {
  /** Connects, and looks whether these topics are there; makes them where that was asked for. @throws KafkaFault. */
  connect(topics: readonly string[]): Promise<void>;
  /** Resolves when all in-sync replicas have all of them. @throws KafkaFault: some of them may be stored nevertheless. */
  produce(messages: readonly KafkaMessage[]): Promise<void>;
  /** A new producer: numbers of the old one are not to be used for other messages. @throws KafkaFault. */
  renew(): Promise<void>;
  /**
   * Reads topics as a member of the consumer group; a message is committed when `take` resolves, and comes again otherwise. `told` is
   * called with a fault while nothing can be read, and with nothing when it can.
   */
  consume(
    topics: readonly string[],
    take: (message: KafkaReceived, alive: () => Promise<void>) => Promise<void>,
    told: (fault: string | undefined) => void,
  ): void;
  /** Idempotent, never rejects, and does not wait long. */
  close(): Promise<void>;
}
