import { ConfigError, messageOf, NotConnectedError } from "../../core/errors.ts";
import type { Outgoing, Uplink, UplinkContext, UplinkLimits, Verdict } from "../../core/uplink.ts";
import { Attempt } from "../attempt.ts";
import { Inbound } from "./inbound.ts";
import type { KafkaOptions } from "./options.ts";
import { Outbox } from "./outbox.ts";
import { isStatic, TopicNames } from "./topic.ts";
import { KafkaFault, type KafkaMessage, type KafkaTransport } from "./transport.ts";

const CLOSED = "the uplink is closed";
/** Requests have their own limit, which does not count the time in which they wait for each other. */
const NEVER_MS = 86_400_000;
const AGAIN_MS = 100;
const AGAIN_CAP_MS = 2000;

/** A Kafka cluster: requests to all in-sync replicas, one after the other; a message has its verdict when its request has. */
export class KafkaUplink implements Uplink {
  readonly #options: KafkaOptions;
  readonly #context: UplinkContext;
  readonly #make: () => KafkaTransport;
  #transport: KafkaTransport | undefined;
  #outbox: Outbox | undefined;
  #inbound: Inbound | undefined;
  #attempt: Attempt | undefined;
  #closed = false;
  #lost: Error | undefined;
  #wake: (() => void) | undefined;
  readonly #names: TopicNames;

  constructor(options: KafkaOptions, context: UplinkContext, make: () => KafkaTransport) {
    this.#options = options;
    this.#context = context;
    this.#make = make;
    this.#names = new TopicNames(options.kafkaTopic, context.gatewayId);
  }

  async connect(onLost: (error: Error) => void, signal: AbortSignal): Promise<UplinkLimits> {
    if (this.#closed) throw new NotConnectedError(CLOSED);
    signal.throwIfAborted();
    const { connectTimeout, inFlight, maxMessage, kafkaTopic } = this.#options;
    const topics = isStatic(kafkaTopic) ? [this.#names.of("")] : [];
    const attempt = new Attempt();
    this.#attempt = attempt;
    const transport = this.#make();
    try {
      await attempt.run(
        (mine) => aborted(mine, transport.connect(topics)),
        { timeoutMs: connectTimeout, place: this.#options.brokers.join(", ") },
        signal,
      );
    } catch (error) {
      // Not waited for: what is still under way ends with it.
      void transport.close();
      throw error === signal.reason ? error : errorOf(error);
    } finally {
      this.#attempt = undefined;
    }
    this.#begin(transport, onLost);
    return { inFlight, maxBytes: maxMessage, properties: true, ackTimeoutMs: NEVER_MS };
  }

  async send(
    batch: readonly Outgoing[],
    verdict: (index: number, v: Verdict) => void,
    signal: AbortSignal,
  ): Promise<void> {
    for (const [index, message] of batch.entries()) {
      while (this.#outbox && !this.#over && !signal.aborted && this.#outbox.size >= this.#options.inFlight)
        await this.#room(signal);
      const error = signal.aborted ? signal.reason : this.#over;
      if (error !== undefined || this.#outbox === undefined) {
        const reason = messageOf(error);
        for (let left = index; left < batch.length; left++)
          verdict(left, { kind: "retry", reason, unanswered: "unsent" });
        throw error;
      }
      this.#put(this.#outbox, message, (v) => verdict(index, v));
    }
    if (batch.length === 0 && this.#over) throw this.#over;
  }

  notice(): string | undefined {
    const trouble = this.#outbox?.trouble;
    if (trouble !== undefined) return `the cluster does not take a request yet: ${trouble}`;
    return this.#inbound?.alarm;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const error = new NotConnectedError(CLOSED);
    this.#attempt?.cancel(error);
    this.#inbound?.end();
    this.#outbox?.end(error);
    this.#wake?.();
    await this.#transport?.close();
  }

  /** Why nothing can be sent. */
  get #over(): Error | undefined {
    if (this.#closed) return new NotConnectedError(CLOSED);
    if (this.#lost) return new NotConnectedError(this.#lost.message);
    return this.#outbox === undefined ? new NotConnectedError("not connected") : undefined;
  }

  #begin(transport: KafkaTransport, onLost: (error: Error) => void): void {
    const { batch, ackTimeout, accept } = this.#options;
    const { downlink, log } = this.#context;
    this.#transport = transport;
    const settings = { count: batch.count, bytes: batch.bytes, lingerMs: batch.linger, ackTimeoutMs: ackTimeout };
    const ended = (error: Error) => {
      this.#lost = error;
      this.#inbound?.end();
      this.#wake?.();
      onLost(error);
    };
    const pauses = { againMs: AGAIN_MS, againCapMs: AGAIN_CAP_MS };
    this.#outbox = new Outbox(transport, { ...settings, ...pauses }, ended, () => this.#wake?.());
    if (accept.length === 0 || downlink === undefined) return;
    this.#inbound = new Inbound(downlink, log);
    this.#inbound.start(transport, [...new Set(accept.map(({ topic }) => topic))]);
  }

  #put(outbox: Outbox, { topic, payload, properties, key, contentType }: Outgoing, tell: (v: Verdict) => void): void {
    const { maxMessage } = this.#options;
    if (payload.byteLength > maxMessage) {
      tell({ kind: "reject", reason: `${payload.byteLength} bytes are more than maxMessage (${maxMessage})` });
      return;
    }
    const type: readonly [string, string][] = contentType === undefined ? [] : [["content-type", contentType]];
    const message: KafkaMessage = {
      topic: this.#names.of(topic),
      key: key ?? topic,
      value: payload,
      // Status, gaps and clocks have no id, but a topic of their own, which is the only thing that names them.
      headers: [["topic", topic], ...properties, ...type],
    };
    outbox.add(message, tell);
  }

  #room(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener("abort", wake);
        this.#wake = undefined;
        resolve();
      };
      signal.addEventListener("abort", wake, { once: true });
      this.#wake = wake;
    });
  }
}

/** As the promise settles, or with the signal's reason. */
function aborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

function errorOf(error: unknown): Error {
  if (error instanceof ConfigError || error instanceof NotConnectedError) return error;
  const options = { cause: error };
  if (error instanceof KafkaFault && error.kind === "setup") return new ConfigError(error.message, options);
  return new NotConnectedError(messageOf(error), options);
}
