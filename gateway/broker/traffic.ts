import { type CounterRow, counterRow, type Metrics } from "../core/metrics.ts";

/** Messages and the bytes of their payloads, since the start. */
export interface Flow {
  readonly messages: number;
  readonly bytes: number;
}

/** What local clients publish and are sent. */
export class Traffic {
  readonly #flows: Readonly<Record<"received" | "sent", CountedFlow>>;

  constructor(metrics: Metrics) {
    const labels = ["direction"];
    const messages = metrics.counter(
      "millrace_broker_messages_total",
      "Messages received from local clients, and sent to them; one for each receiver.",
      labels,
    );
    const bytes = metrics.counter("millrace_broker_payload_bytes_total", "Bytes of their payloads.", labels);
    const flow = (direction: string) =>
      new CountedFlow(counterRow(messages, { direction }), counterRow(bytes, { direction }));
    this.#flows = { received: flow("received"), sent: flow("sent") };
  }

  received(payload: string | Uint8Array): void {
    this.#flows.received.add(payload);
  }

  sent(payload: string | Uint8Array): void {
    this.#flows.sent.add(payload);
  }

  status(): { readonly received: Flow; readonly sent: Flow } {
    const { received, sent } = this.#flows;
    return {
      received: { messages: received.messages, bytes: received.bytes },
      sent: { messages: sent.messages, bytes: sent.bytes },
    };
  }
}

class CountedFlow {
  readonly #messages: CounterRow;
  readonly #bytes: CounterRow;
  messages = 0;
  bytes = 0;

  constructor(messages: CounterRow, bytes: CounterRow) {
    this.#messages = messages;
    this.#bytes = bytes;
  }

  add(payload: string | Uint8Array): void {
    this.messages += 1;
    this.bytes += payload.length;
    this.#messages.inc();
    this.#bytes.inc(payload.length);
  }
}
