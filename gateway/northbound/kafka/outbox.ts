import { ConfigError, messageOf, NotConnectedError } from "../../core/errors.ts";
import { formatDuration } from "../../core/options/units.ts";
import type { Verdict } from "../../core/uplink.ts";
import { monotonicMs, pause } from "../pause.ts";
import { KafkaFault, type KafkaMessage, type KafkaTransport } from "./transport.ts";

export interface OutboxSettings {
  readonly count: number;
  readonly bytes: number;
  readonly lingerMs: number;
  readonly ackTimeoutMs: number;
  /** Pauses before the same request is made again: the first, doubled up to the greatest. */
  readonly againMs: number;
  readonly againCapMs: number;
}

interface Flight {
  readonly message: KafkaMessage;
  readonly tell: (verdict: Verdict) => void;
}

/**
 * Messages on their way over one connection, in requests: one is under way at a time and is repeated as it is, so that what was sent
 * first is stored first, and once. A request that the cluster will not take is halved until the one at fault is alone.
 */
export class Outbox {
  readonly #transport: Pick<KafkaTransport, "produce" | "renew">;
  readonly #settings: OutboxSettings;
  readonly #onEnd: (error: Error) => void;
  readonly #onRoom: () => void;
  readonly #stop = new AbortController();
  #waiting: Flight[] = [];
  #waitingBytes = 0;
  /** Taken out of `#waiting`, in order, without a verdict. */
  #sending: readonly Flight[] = [];
  #running = false;
  #filled: (() => void) | undefined;
  #trouble: string | undefined;

  /** @param onEnd told once why the connection is of no use any more, after every message got `retry`. */
  constructor(
    transport: Pick<KafkaTransport, "produce" | "renew">,
    settings: OutboxSettings,
    onEnd: (error: Error) => void,
    onRoom: () => void,
  ) {
    this.#transport = transport;
    this.#settings = settings;
    this.#onEnd = onEnd;
    this.#onRoom = onRoom;
  }

  /** Messages without a verdict. */
  get size(): number {
    return this.#waiting.length + this.#sending.length;
  }

  /** Why the last request is being repeated. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  add(message: KafkaMessage, tell: (verdict: Verdict) => void): void {
    this.#waiting.push({ message, tell });
    this.#waitingBytes += message.value.byteLength;
    if (this.#isFull) this.#filled?.();
    if (this.#running) return;
    this.#running = true;
    void this.#run();
  }

  /** Every message without a verdict gets `retry`. */
  end(error: Error): void {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort(error);
    this.#filled?.();
    const sent = this.#sending;
    const waiting = this.#waiting;
    this.#sending = [];
    this.#waiting = [];
    for (const { tell } of sent) tell({ kind: "retry", reason: error.message, unanswered: "sent" });
    for (const { tell } of waiting) tell({ kind: "retry", reason: error.message, unanswered: "unsent" });
  }

  get #isFull(): boolean {
    return this.#waiting.length >= this.#settings.count || this.#waitingBytes >= this.#settings.bytes;
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#stop.signal.aborted) {
      if (!this.#isFull) await this.#company();
      if (this.#stop.signal.aborted) return;
      const batch = this.#take();
      this.#sending = batch;
      await this.#send(batch);
    }
    this.#running = false;
  }

  /** Waits for a full request, for as long as the first message may. */
  #company(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#settings.lingerMs);
      this.#filled = () => {
        this.#filled = undefined;
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #take(): readonly Flight[] {
    const { count, bytes } = this.#settings;
    let size = 0;
    let many = 0;
    for (const { message } of this.#waiting) {
      size += message.value.byteLength;
      if (many > 0 && (many >= count || size > bytes)) break;
      many++;
    }
    const batch = this.#waiting.splice(0, many);
    for (const { message } of batch) this.#waitingBytes -= message.value.byteLength;
    return batch;
  }

  /** Until each has its verdict. Never rejects. */
  async #send(batch: readonly Flight[]): Promise<void> {
    const fault = await this.#produce(batch);
    if (this.#stop.signal.aborted) return;
    if (fault === undefined) {
      this.#settle(batch, { kind: "ack" });
      return;
    }
    const [first] = batch;
    const topics = new Set(batch.map(({ message }) => message.topic));
    if (fault.kind === "content" && batch.length > 1) {
      const half = batch.length >> 1;
      for (const part of [batch.slice(0, half), batch.slice(half)]) await this.#send(part);
    } else if (fault.kind === "content" && first) this.#settle(batch, { kind: "reject", reason: fault.message });
    else if (fault.kind === "topic" && topics.size > 1) {
      for (const topic of topics) await this.#send(batch.filter(({ message }) => message.topic === topic));
    } else if (fault.kind === "topic") {
      // Where it was removed and is made anew it begins with other numbers.
      const end = await this.#renewed(fault);
      if (this.#stop.signal.aborted) return;
      if (end.kind === "topic") this.#settle(batch, { kind: "retry", reason: fault.message, alarm: true });
      else this.#lost(end);
    } else this.#lost(fault);
  }

  /** Undefined when it is stored; else why not, and repeating it would not help. */
  async #produce(batch: readonly Flight[]): Promise<KafkaFault | undefined> {
    const { ackTimeoutMs, againMs, againCapMs } = this.#settings;
    const messages = batch.map(({ message }) => message);
    const lateMs = monotonicMs() + ackTimeoutMs;
    for (let waitMs = againMs; ; waitMs = Math.min(againCapMs, waitMs * 2)) {
      if (this.#stop.signal.aborted) return undefined;
      const fault = await this.#once(messages, lateMs);
      if (this.#stop.signal.aborted) return undefined;
      if (fault === undefined) {
        this.#trouble = undefined;
        return undefined;
      }
      if (fault.kind !== "again") return fault.kind === "content" ? await this.#renewed(fault) : fault;
      this.#trouble = fault.message;
      if (monotonicMs() + waitMs >= lateMs) return new KafkaFault("lost", fault.message);
      await pause(waitMs, this.#stop.signal);
    }
  }

  async #once(messages: readonly KafkaMessage[], lateMs: number): Promise<KafkaFault | undefined> {
    const { ackTimeoutMs } = this.#settings;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<KafkaFault>((resolve) => {
      const text = `no answer within ${formatDuration(ackTimeoutMs)}`;
      timer = setTimeout(() => resolve(new KafkaFault("lost", text)), Math.max(0, lateMs - monotonicMs()));
    });
    try {
      return await Promise.race([this.#transport.produce(messages).then(() => undefined, faultOf), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Parts of a request that was refused may be stored under their numbers: the halves need others. */
  async #renewed(fault: KafkaFault): Promise<KafkaFault> {
    try {
      await this.#transport.renew();
      return fault;
    } catch (error) {
      return new KafkaFault("lost", messageOf(error));
    }
  }

  #settle(batch: readonly Flight[], verdict: Verdict): void {
    const settled = new Set(batch);
    this.#sending = this.#sending.filter((flight) => !settled.has(flight));
    for (const { tell } of batch) tell(verdict);
    this.#onRoom();
  }

  #lost(fault: KafkaFault): void {
    const options = { cause: fault };
    const error =
      fault.kind === "setup" ? new ConfigError(fault.message, options) : new NotConnectedError(fault.message, options);
    this.end(error);
    this.#onEnd(error);
  }
}

function faultOf(error: unknown): KafkaFault {
  return error instanceof KafkaFault ? error : new KafkaFault("lost", messageOf(error), { cause: error });
}
