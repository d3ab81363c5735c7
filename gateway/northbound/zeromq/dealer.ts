import type { Buffer } from "node:buffer";
import type { Dealer } from "zeromq";
import { messageOf, NotConnectedError } from "../../core/errors.ts";
import type { Logger } from "../../core/log.ts";
import { formatDuration } from "../../core/options/units.ts";
import type { Outgoing, Verdict } from "../../core/uplink.ts";
import { monotonicMs } from "../pause.ts";
import { Summary } from "../summary.ts";
import { answerOf, framesOf } from "./frames.ts";
import type { Line } from "./line.ts";
import type { Sending } from "./sending.ts";

type Tell = (verdict: Verdict) => void;
interface Flight {
  readonly tell: Tell;
  readonly sentMs: number;
}

export interface DealerSettings {
  readonly inFlight: number;
  readonly ackTimeoutMs: number;
  readonly maxMessage: number;
  readonly log: Logger;
}

/**
 * Messages to a ROUTER that answers each. ZeroMQ itself acknowledges nothing: a message is delivered when the receiver says so under its
 * number, which counts up within a connection.
 */
export class DealerSending implements Sending {
  readonly #socket: Dealer;
  readonly #line: Line;
  readonly #settings: DealerSettings;
  readonly #summary: Summary;
  /** In the order in which they were sent. */
  readonly #flights = new Map<string, Flight>();
  readonly #waiters = new Set<() => void>();
  readonly #watch: NodeJS.Timeout;
  /** What the library has yet to take; at most a window. */
  readonly #outbox: (string | Buffer)[][] = [];
  #pumping: Promise<void> | undefined;
  #next = 1;
  #progressMs = monotonicMs();

  constructor(socket: Dealer, line: Line, settings: DealerSettings) {
    this.#socket = socket;
    this.#line = line;
    this.#settings = settings;
    this.#summary = new Summary(settings.log);
    this.#watch = setInterval(() => this.#look(), Math.max(10, Math.min(500, settings.ackTimeoutMs / 4)));
    this.#read().catch((error: unknown) => line.end(new NotConnectedError(messageOf(error))));
  }

  async send(
    batch: readonly Outgoing[],
    verdict: (index: number, v: Verdict) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const give = (from: number, error: unknown) => {
      const reason = messageOf(error);
      for (let index = from; index < batch.length; index++)
        verdict(index, { kind: "retry", reason, unanswered: "unsent" });
      throw error;
    };
    for (const [index, message] of batch.entries()) {
      while (!signal.aborted && !this.#line.lost && this.#flights.size >= this.#settings.inFlight)
        await this.#change(signal);
      if (signal.aborted) give(index, signal.reason);
      if (this.#line.lost) give(index, new NotConnectedError(this.#line.lost.message));
      this.#send(message, (v) => verdict(index, v));
    }
  }

  /** What is in flight gets `retry`. */
  ended(error: Error): void {
    clearInterval(this.#watch);
    const flights = [...this.#flights.values()];
    this.#flights.clear();
    this.#outbox.length = 0;
    for (const { tell } of flights) tell({ kind: "retry", reason: error.message, unanswered: "sent" });
    this.#wake();
  }

  #send(message: Outgoing, tell: Tell): void {
    const { maxMessage } = this.#settings;
    const bytes = message.payload.byteLength;
    if (bytes > maxMessage) {
      tell({ kind: "reject", reason: `${bytes} bytes are more than maxMessage (${maxMessage})` });
      return;
    }
    if (this.#flights.size === 0) this.#progressMs = monotonicMs();
    const number = String(this.#next++);
    this.#flights.set(number, { tell, sentMs: monotonicMs() });
    this.#outbox.push([number, ...framesOf(message)]);
    this.#pumping ??= this.#pump();
  }

  /** One after the other: the library takes only one at a time, and now and then takes none until the event loop has turned. */
  async #pump(): Promise<void> {
    try {
      for (let frames = this.#outbox.shift(); frames; frames = this.#outbox.shift()) await this.#socket.send(frames);
    } catch (error) {
      this.#line.end(new NotConnectedError(`cannot be sent: ${messageOf(error)}`));
    }
    this.#pumping = undefined;
  }

  async #read(): Promise<void> {
    for await (const frames of this.#socket) {
      const answer = answerOf(frames);
      const flight = answer && this.#flights.get(answer.number);
      if (answer === undefined)
        this.#summary.report("warn", "answer", { frames: frames.length }, "the receiver sent what is no answer");
      if (!answer || !flight) continue;
      this.#flights.delete(answer.number);
      this.#progressMs = monotonicMs();
      flight.tell(
        answer.kind === "accepted"
          ? { kind: "ack" }
          : { kind: "reject", reason: `the receiver rejected it: ${answer.reason}` },
      );
      this.#wake();
    }
  }

  /** A receiver that answers others has lost it; one that answers nothing at all is not asked for more. */
  #look(): void {
    const { ackTimeoutMs } = this.#settings;
    const now = monotonicMs();
    const reason = `no answer within ${formatDuration(ackTimeoutMs)}`;
    const stuck = now - this.#progressMs >= ackTimeoutMs;
    if (stuck && this.#flights.size > 0) {
      this.#line.end(new NotConnectedError(`${reason}: the receiver is connected, but answers nothing; look at it`));
      return;
    }
    for (const [number, { tell, sentMs }] of this.#flights) {
      if (now - sentMs < ackTimeoutMs) break;
      this.#flights.delete(number);
      tell({ kind: "retry", reason: `${reason}, while others were answered` });
      this.#wake();
    }
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener("abort", wake);
        this.#waiters.delete(wake);
        resolve();
      };
      signal.addEventListener("abort", wake, { once: true });
      this.#waiters.add(wake);
    });
  }

  #wake(): void {
    for (const wake of [...this.#waiters]) wake();
  }
}
