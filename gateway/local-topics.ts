import { Buffer } from "node:buffer";
import type { BrokerStatus, LocalMessage } from "./broker/local-broker.ts";
import type { Clock } from "./core/clock.ts";
import { messageOf } from "./core/errors.ts";
import type { Logger } from "./core/log.ts";
import type { Health } from "./http/server.ts";

/** The embedded broker has all of it, one that is outside none. */
export interface SomeStatus extends Partial<Pick<BrokerStatus, "clients" | "sessions" | "retained" | "traffic">> {
  readonly journal?: { readonly healthy: boolean };
}

export interface LocalTopicsParts {
  readonly gatewayId: string;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly broker: {
    publish(message: LocalMessage): Promise<void>;
    publishLive(topic: string, payload: Uint8Array): void;
    status(): SomeStatus;
  };
  readonly health: () => Health;
  /** The broker is outside: the session there says `online` when it connects and `offline` when it ends, with `about`. */
  readonly external?: boolean;
  /** Milliseconds between figures under `$SYS/broker`; absent: there are none. */
  readonly sysMs?: number | undefined;
  /** Milliseconds between looks at the health; default 5 s. */
  readonly lookMs?: number;
}

const LOOK_MS = 5_000;
const FAREWELL_MS = 1_000;

/**
 * What the gateway says of itself on its local broker. `{gateway}/status`, retained: that it is there, which version, since when
 * and whether it is well, anew when that changes, and `offline` at the stop. `$SYS/broker/…`: figures of the embedded broker,
 * not retained, for a retained message is written to disk. None of it goes into the queue: only what clients publish does.
 */
export class LocalTopics {
  readonly #parts: LocalTopicsParts;
  #timers: NodeJS.Timeout[] = [];
  readonly #startMonoMs: number;
  /** As it was first known: two messages of one run must not differ by a rounding. */
  #sinceMs: number | undefined;
  #started = false;
  #told: string | undefined;
  #telling = false;
  #refused = false;

  constructor(parts: LocalTopicsParts) {
    this.#parts = parts;
    this.#startMonoMs = parts.clock.now().monoMs;
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    const { sysMs, lookMs = LOOK_MS, external } = this.#parts;
    if (external) this.#told = this.#news();
    this.#timers = [setInterval(() => void this.#look(), lookMs)];
    if (sysMs !== undefined) this.#timers.push(setInterval(() => this.#figures(), sysMs));
    void this.#look();
  }

  /** Says `offline`, if the broker takes it within a second. Idempotent, never rejects. */
  async stop(): Promise<void> {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    if (!this.#started) return;
    this.#started = false;
    this.#told = undefined;
    if (this.#parts.external) return;
    let late: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      late = setTimeout(resolve, FAREWELL_MS);
    });
    const said = this.#publish({ state: "offline" }).catch(() => {
      // Whoever asks later finds it online in the retained message until the next start says so anew.
    });
    await Promise.race([said, patience]);
    clearTimeout(late);
  }

  /** Which version, since when (Unix milliseconds, once that can be known) and whether it is well. */
  about(): { readonly version: string; readonly since?: number; readonly health: Health } {
    const { version, health, clock } = this.#parts;
    const now = clock.now();
    const { ok, reasons } = health();
    if (now.clock === "synced") this.#sinceMs ??= Math.round(now.wallMs - (now.monoMs - this.#startMonoMs));
    const since = this.#sinceMs === undefined ? {} : { since: this.#sinceMs };
    return { version, ...since, health: { ok, reasons } };
  }

  /** What is to be told anew when it changes. */
  #news(): string {
    return JSON.stringify([this.#parts.health(), this.#parts.clock.now().clock]);
  }

  /** Tells how the gateway is, where that is news, or where the broker was not there the last time. */
  async #look(): Promise<void> {
    if (this.#telling) return;
    const news = this.#news();
    if (news === this.#told) return;
    this.#telling = true;
    try {
      await this.#publish({ state: "online", ...this.about() });
      this.#told = news;
      this.#refused = false;
    } catch (error) {
      if (!this.#refused)
        this.#parts.log.debug({ reason: messageOf(error) }, "the status is told once the broker takes it");
      this.#refused = true;
    } finally {
      this.#telling = false;
    }
  }

  async #publish(fields: { readonly state: "online" | "offline" } & Record<string, unknown>): Promise<void> {
    const { gatewayId, clock, broker } = this.#parts;
    const now = clock.now();
    const time = now.clock === "synced" ? { ts: Math.round(now.wallMs) } : { clock: now.clock };
    const body = { type: "status", gateway: gatewayId, ...fields, ...time, boot: clock.bootId };
    const payload = Buffer.from(JSON.stringify(body));
    await broker.publish({ topic: `${gatewayId}/status`, payload, qos: 1, retain: true });
  }

  #figures(): void {
    const { broker, clock, version } = this.#parts;
    const { clients, sessions, retained, traffic } = broker.status();
    const seconds = Math.floor((clock.now().monoMs - this.#startMonoMs) / 1000);
    const figures: Readonly<Record<string, string | number | undefined>> = {
      version: `millrace ${version}`,
      uptime: seconds,
      "clients/connected": clients,
      "sessions/count": sessions,
      "retained messages/count": retained?.messages,
      "publish/messages/received": traffic?.received.messages,
      "publish/messages/sent": traffic?.sent.messages,
      "publish/bytes/received": traffic?.received.bytes,
      "publish/bytes/sent": traffic?.sent.bytes,
    };
    for (const [name, figure] of Object.entries(figures))
      if (figure !== undefined) broker.publishLive(`$SYS/broker/${name}`, Buffer.from(String(figure)));
  }
}
