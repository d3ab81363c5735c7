import { setTimeout as delay } from "node:timers/promises";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import { messageOf } from "../../core/errors.ts";
import type { UserProperties } from "./wire.ts";

export interface ReceiverOptions {
  readonly url: string;
  readonly topics: readonly string[];
  /** A fixed id makes the session persistent: the broker keeps what comes while the receiver is away. */
  readonly clientId?: string;
  readonly username?: string;
  readonly password?: string;
  /** PEM texts. */
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  onMessage(topic: string, payload: Buffer, properties: UserProperties, retained: boolean): void;
  /** Each connection (`version` 5 or 4, which is MQTT 3.1.1) and each loss of one. */
  onState?(state: { connected: true; version: 4 | 5 } | { connected: false; reason: string }): void;
}

/** The broker refused: trying again cannot help. */
export class RefusedError extends Error {
  readonly code = "MILLRACE_REFUSED";
  override readonly name = "RefusedError";
}

const WEEK_S = 7 * 86_400;
const CONNECT_TIMEOUT_MS = 5_000;
const LONGEST_PAUSE_MS = 3_000;
/** Bad credentials, not authorised, bad client id, banned (MQTT 3.1.1 and 5). */
const FINAL = new Set([2, 4, 5, 0x85, 0x86, 0x87, 0x8a]);
const NETWORK = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT"]);

/**
 * Subscribes with QoS 1 and stays subscribed until the signal aborts: MQTT 5, or 3.1.1 where the broker does not speak
 * it; connects again with a growing pause.
 */
export class Receiver {
  readonly #options: ReceiverOptions;
  #version: 4 | 5 = 5;

  constructor(options: ReceiverOptions) {
    this.#options = options;
  }

  /**
   * Runs until the signal aborts. Before the first connection it tries for at most `patienceMs`.
   * @throws the last error when there was never a connection; RefusedError when the broker says no.
   */
  async run(signal: AbortSignal, patienceMs: number): Promise<void> {
    const giveUpAt = performance.now() + patienceMs;
    let everConnected = false;
    let pauseMs = 100;
    while (!signal.aborted) {
      const outcome = await this.#session(signal);
      if (outcome.refused) throw new RefusedError(outcome.reason);
      if (outcome.connected) {
        everConnected = true;
        pauseMs = 100;
        if (!signal.aborted) this.#options.onState?.({ connected: false, reason: outcome.reason });
      } else if (outcome.otherVersion) {
        this.#version = this.#version === 5 ? 4 : 5;
      }
      if (!everConnected && performance.now() + pauseMs > giveUpAt) throw new Error(outcome.reason);
      await delay(pauseMs, undefined, { signal }).catch(() => {});
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    }
  }

  /** One connection, until it ends or the signal aborts. Never rejects. */
  async #session(signal: AbortSignal): Promise<Outcome> {
    let client: MqttClient;
    try {
      client = mqtt.connect(this.#options.url, this.#connectOptions());
    } catch (error) {
      return { connected: false, refused: true, otherVersion: false, reason: messageOf(error) };
    }
    const version = this.#version;
    let subscribed = false;
    let last: unknown;
    return await new Promise<Outcome>((resolve) => {
      const finish = (refused: boolean) => {
        signal.removeEventListener("abort", onAbort);
        // The graceful end waits for acknowledgements in flight; a connection that is gone has none.
        client.end(!client.connected, () => {
          client.stream?.destroy();
          resolve({ connected: subscribed, refused, otherVersion: !NETWORK.has(codeOf(last)), reason: reasonOf(last) });
        });
      };
      const once = onlyOnce(finish);
      const onAbort = () => once(false);
      signal.addEventListener("abort", onAbort);
      client.on("message", (topic, payload, packet) => {
        this.#options.onMessage(topic, payload, { ...packet.properties?.userProperties }, packet.retain);
      });
      client.on("error", (error) => {
        last = error;
        once(FINAL.has(Number(codeOf(error))));
      });
      client.on("close", () => once(false));
      client.on("connect", () => {
        this.#subscribe(client).then(
          () => {
            subscribed = true;
            this.#options.onState?.({ connected: true, version });
          },
          (error: unknown) => {
            last = error;
            once(error instanceof RefusedError);
          },
        );
      });
      if (signal.aborted) once(false);
    });
  }

  async #subscribe(client: MqttClient): Promise<void> {
    const granted = await client.subscribeAsync([...this.#options.topics], { qos: 1 });
    const refused = granted.find((grant) => Number(grant.qos) >= 0x80);
    if (refused) throw new RefusedError(`the broker refused the subscription to "${refused.topic}"`);
  }

  #connectOptions(): IClientOptions {
    const { clientId, username, password, ca, cert, key } = this.#options;
    const persistent = clientId !== undefined;
    return {
      protocolVersion: this.#version,
      clientId: clientId ?? `millrace-verify-${Math.random().toString(16).slice(2, 10)}`,
      clean: !persistent,
      ...(persistent && this.#version === 5 ? { properties: { sessionExpiryInterval: WEEK_S } } : {}),
      reconnectPeriod: 0,
      connectTimeout: CONNECT_TIMEOUT_MS,
      keepalive: 15,
      resubscribe: false,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    };
  }
}

interface Outcome {
  readonly connected: boolean;
  readonly refused: boolean;
  readonly otherVersion: boolean;
  readonly reason: string;
}

function onlyOnce<A>(body: (argument: A) => void): (argument: A) => void {
  let done = false;
  return (argument) => {
    if (done) return;
    done = true;
    body(argument);
  };
}

function codeOf(error: unknown): string {
  return typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
}

function reasonOf(error: unknown): string {
  if (error === undefined) return "the broker closed the connection";
  const first = error instanceof AggregateError ? error.errors[0] : error;
  return messageOf(first) || codeOf(error);
}
