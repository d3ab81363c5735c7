import type { BootOffset } from "../core/clock.ts";
import type { Queue } from "../core/queue.ts";
import { clockMessage } from "./control.ts";
import { jobOf, type Part, partOf } from "./job.ts";
import type { TopicMapper } from "./topics.ts";

export interface ClockTellerContext {
  readonly name: string;
  readonly gatewayId: string;
  readonly queue: Pick<Queue, "clocks" | "onClock">;
  readonly topics: TopicMapper;
}

/**
 * Tells one uplink, over one connection, the clock of each boot of which it was sent records without a time. The queue
 * remembers what is owed; here is only what is on its way.
 */
export class ClockTeller {
  readonly #context: ClockTellerContext;
  readonly #send: (part: Part) => void;
  readonly #onTheirWay = new Set<string>();
  #forget: () => void = () => {};

  constructor(context: ClockTellerContext, send: (part: Part) => void) {
    this.#context = context;
    this.#send = send;
  }

  start(): void {
    const { name, queue } = this.#context;
    this.#forget = queue.onClock(name, () => this.#tell());
    this.#tell();
  }

  stop(): void {
    this.#forget();
  }

  /** Acknowledged, and the queue knows it. */
  told(bootId: string): void {
    this.#onTheirWay.delete(bootId);
  }

  #tell(): void {
    const { name, queue } = this.#context;
    for (const offset of queue.clocks(name)) {
      if (this.#onTheirWay.has(offset.bootId)) continue;
      this.#onTheirWay.add(offset.bootId);
      this.#send(this.#partOf(offset));
    }
  }

  #partOf(offset: BootOffset): Part {
    const { topics, gatewayId } = this.#context;
    const message = clockMessage(topics, gatewayId, offset);
    return partOf(jobOf({ kind: "clock", offset }, [message]), message);
  }
}
