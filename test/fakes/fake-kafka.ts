import {
  type FaultKind,
  KafkaFault,
  type KafkaMessage,
  type KafkaReceived,
  type KafkaTransport,
} from "../../gateway/northbound/kafka/transport.ts";

/** What a cluster makes of one request. */
export type Fate = "store" | "hold" | readonly [FaultKind, string];

/** A cluster in memory, whose every answer the test gives. */
export class FakeKafka implements KafkaTransport {
  /** What was taken, in order. */
  readonly stored: KafkaMessage[] = [];
  /** Each request as it came. */
  readonly requests: (readonly KafkaMessage[])[] = [];
  fate: (messages: readonly KafkaMessage[], number: number) => Fate = () => "store";
  connecting: "answers" | "silent" | readonly [FaultKind, string] = "answers";
  renewed = 0;
  closed = false;
  consumer: ((message: KafkaReceived) => Promise<void>) | undefined;
  told: ((fault: string | undefined) => void) | undefined;
  alive = 0;
  /** Ends what is held, as the loss of the connection does. */
  readonly #held: ((fault: KafkaFault) => void)[] = [];

  connect(): Promise<void> {
    if (this.connecting === "silent") return new Promise(() => {});
    if (this.connecting === "answers") return Promise.resolve();
    return Promise.reject(new KafkaFault(...this.connecting));
  }

  produce(messages: readonly KafkaMessage[]): Promise<void> {
    this.requests.push(messages);
    const fate = this.fate(messages, this.requests.length);
    if (fate === "store") {
      this.stored.push(...messages);
      return Promise.resolve();
    }
    if (fate === "hold") return new Promise((_, reject) => this.#held.push(reject));
    return Promise.reject(new KafkaFault(...fate));
  }

  cut(): void {
    for (const reject of this.#held.splice(0)) reject(new KafkaFault("lost", "the connection was cut"));
  }

  renew(): Promise<void> {
    this.renewed++;
    return Promise.resolve();
  }

  consume(
    _topics: readonly string[],
    take: (message: KafkaReceived, alive: () => Promise<void>) => Promise<void>,
    told: (fault: string | undefined) => void,
  ): void {
    this.told = told;
    this.consumer = (message) =>
      take(message, () => {
        this.alive++;
        return Promise.resolve();
      });
  }

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }
}
