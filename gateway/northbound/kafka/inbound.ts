import { messageOf } from "../../core/errors.ts";
import type { Logger } from "../../core/log.ts";
import type { Downlink } from "../../core/uplink.ts";
import { pause } from "../pause.ts";
import { Summary } from "../summary.ts";
import { topicOf } from "./topic.ts";
import type { KafkaReceived, KafkaTransport } from "./transport.ts";

const AGAIN_MS = 1000;
/** Longer than any plan or recipe. */
const MOST_BYTES = 1024 * 1024;

/** What comes down: each message is committed when it is kept here or refused for good, in the order of its partition. */
export class Inbound {
  readonly #downlink: Downlink;
  readonly #log: Logger;
  readonly #summary: Summary;
  readonly #stop = new AbortController();
  #alarm: string | undefined;

  constructor(downlink: Downlink, log: Logger) {
    this.#downlink = downlink;
    this.#log = log;
    this.#summary = new Summary(log);
  }

  /** Why nothing comes down. */
  get alarm(): string | undefined {
    return this.#alarm;
  }

  start(transport: Pick<KafkaTransport, "consume">, topics: readonly string[]): void {
    transport.consume(
      topics,
      (message, alive) => this.#take(message, alive),
      (fault) => this.#told(topics, fault),
    );
  }

  end(): void {
    this.#stop.abort();
  }

  #told(topics: readonly string[], fault: string | undefined): void {
    if (fault === undefined) {
      this.#log.info({ topics }, "accepting what comes down");
      this.#alarm = undefined;
      return;
    }
    const alarm = `nothing comes down from ${topics.join(", ")}: ${fault}`;
    if (alarm !== this.#alarm) this.#log.error({ topics, reason: fault }, "topics cannot be read");
    this.#alarm = alarm;
  }

  /** @throws when it was not kept and the end came. */
  async #take({ topic, key, value, headers }: KafkaReceived, alive: () => Promise<void>): Promise<void> {
    if (value.byteLength > MOST_BYTES) {
      const fields = { topic, bytes: value.byteLength };
      this.#summary.report("error", "huge", fields, "a message from upstream is too long, and was refused");
      return;
    }
    const message = {
      topic: topicOf(topic, key),
      payload: Uint8Array.from(value),
      qos: 1 as const,
      retain: false,
      properties: headers,
    };
    for (;;) {
      if (this.#stop.signal.aborted) throw new Error("the uplink is closed");
      try {
        await this.#downlink.take(message);
        return;
      } catch (error) {
        const reason = messageOf(error);
        const fields = { topic: message.topic.slice(0, 200), reason };
        this.#summary.report("warn", reason, fields, "a message from upstream cannot be kept yet");
      }
      await pause(AGAIN_MS, this.#stop.signal);
      // Or the group would take us for dead, and give it to another.
      await alive();
    }
  }
}
