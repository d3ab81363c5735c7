import { NotConnectedError } from "../../gateway/core/errors.ts";
import type { Outgoing, Uplink, UplinkLimits, Verdict } from "../../gateway/core/uplink.ts";

export interface Sent {
  readonly message: Outgoing;
  /** The body as text. */
  readonly text: string;
  /** Ends it; `ack` when nothing is said. Only the first call counts. */
  answer(verdict?: Verdict): void;
}

/** The far side of one or more connections, driven by a test. */
export class FakeUpstream {
  /** All that was sent over all connections, in order. */
  readonly sent: Sent[] = [];
  readonly connections: FakeUplink[] = [];
  /** Answers each message at once; undefined leaves it without a verdict. */
  auto: ((message: Outgoing, text: string) => Verdict | undefined) | undefined;
  limits: UplinkLimits = { inFlight: 8, properties: true };
  /** Thrown by `connect`, in turn, before one succeeds. */
  readonly refusals: Error[] = [];
  attempts = 0;
  maxInFlight = 0;

  /** For `Forwarder`: a new uplink per connection. */
  readonly make = (): Uplink => new FakeUplink(this);

  get connection(): FakeUplink {
    const last = this.connections.at(-1);
    if (last === undefined) throw new Error("there was no connection");
    return last;
  }

  /** Messages that are neither status, gap nor clock. */
  records(): Sent[] {
    return this.sent.filter(({ message }) => !/\/(status|gap|clock)$/.test(message.topic));
  }

  statuses(): Record<string, unknown>[] {
    return this.sent.filter(({ message }) => message.topic.endsWith("/status")).map(({ text }) => JSON.parse(text));
  }
}

export class FakeUplink implements Uplink {
  readonly #upstream: FakeUpstream;
  readonly #open = new Set<Sent>();
  #onLost: ((error: Error) => void) | undefined;
  #state: "new" | "open" | "over" = "new";
  closed = false;

  constructor(upstream: FakeUpstream) {
    this.#upstream = upstream;
  }

  async connect(onLost: (error: Error) => void, signal: AbortSignal): Promise<UplinkLimits> {
    await Promise.resolve();
    if (this.#state !== "new") throw new NotConnectedError("closed");
    signal.throwIfAborted();
    this.#upstream.attempts++;
    const refusal = this.#upstream.refusals.shift();
    if (refusal) throw refusal;
    this.#onLost = onLost;
    this.#state = "open";
    this.#upstream.connections.push(this);
    return this.#upstream.limits;
  }

  async send(
    batch: readonly Outgoing[],
    verdict: (index: number, v: Verdict) => void,
    signal: AbortSignal,
  ): Promise<void> {
    await Promise.resolve();
    if (this.#state !== "open" || signal.aborted) {
      for (const index of batch.keys()) verdict(index, { kind: "retry", reason: "not connected" });
      throw signal.aborted ? signal.reason : new NotConnectedError("not connected");
    }
    for (const [index, message] of batch.entries()) this.#take(message, (v) => verdict(index, v));
  }

  /** The connection breaks: everything in flight is to be tried again. */
  break(error: Error = new NotConnectedError("broken")): void {
    this.#end();
    this.#onLost?.(error);
  }

  async close(): Promise<void> {
    await Promise.resolve();
    this.closed = true;
    this.#end();
  }

  #take(message: Outgoing, verdict: (v: Verdict) => void): void {
    const text = Buffer.from(message.payload).toString("utf8");
    const sent: Sent = {
      message,
      text,
      answer: (v = { kind: "ack" }) => {
        if (this.#open.delete(sent)) verdict(v);
      },
    };
    this.#open.add(sent);
    this.#upstream.sent.push(sent);
    this.#upstream.maxInFlight = Math.max(this.#upstream.maxInFlight, this.#open.size);
    const v = this.#upstream.auto?.(message, text);
    if (v) sent.answer(v);
  }

  #end(): void {
    this.#state = "over";
    for (const sent of [...this.#open]) sent.answer({ kind: "retry", reason: "lost" });
  }
}

export const ackAll = (): Verdict => ({ kind: "ack" });
