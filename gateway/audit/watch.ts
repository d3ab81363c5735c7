import type { Auditor } from "../core/audit.ts";
import type { Clock } from "../core/clock.ts";
import type { QueueStats } from "../core/queue.ts";

const EVERY_MS = 5_000;
/** Between two looks; a clock that is disciplined moves by less. */
const STEP_MS = 1_000;

export interface WatchParts {
  readonly audit: Auditor;
  readonly clock: Clock;
  readonly stats: () => Pick<QueueStats, "dropped" | "quarantined">;
}

/** Writes down what nobody does and somebody has to answer for: start and stop, steps of the clock, and records that the queue gave up. */
export class AuditWatch {
  readonly #parts: WatchParts;
  #timer: NodeJS.Timeout | undefined;
  #offsetMs = 0;
  #synced = false;
  #dropped = 0;
  #quarantined = 0;

  constructor(parts: WatchParts) {
    this.#parts = parts;
  }

  /** With what the gateway starts from. Does nothing when it is started. */
  async start(target: string, detail: string, everyMs = EVERY_MS): Promise<void> {
    if (this.#timer) return;
    await this.#parts.audit.record({ actor: "gateway", action: "gateway.start", target, outcome: "ok", detail });
    const { wallMs, monoMs, clock } = this.#parts.clock.now();
    this.#offsetMs = wallMs - monoMs;
    this.#synced = clock === "synced";
    this.#timer = setInterval(() => this.look(), everyMs);
    this.#timer.unref();
  }

  /** Idempotent, never rejects. */
  async stop(): Promise<void> {
    if (!this.#timer) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.look();
    await this.#parts.audit.record({ actor: "gateway", action: "gateway.stop", outcome: "ok" });
  }

  look(): void {
    this.#clock();
    const { dropped, quarantined } = this.#parts.stats();
    this.#lost("queue.drop", dropped - this.#dropped, "records were dropped, each told as a gap");
    this.#lost("queue.quarantine", quarantined - this.#quarantined, "damaged segments were set aside");
    this.#dropped = dropped;
    this.#quarantined = quarantined;
  }

  #clock(): void {
    const { wallMs, monoMs, clock } = this.#parts.clock.now();
    const stepMs = Math.round(wallMs - monoMs - this.#offsetMs);
    this.#offsetMs = wallMs - monoMs;
    const { audit } = this.#parts;
    if (Math.abs(stepMs) >= STEP_MS)
      void audit.record({ actor: "gateway", action: "clock.step", outcome: "ok", detail: `by ${stepMs} ms` });
    if ((clock === "synced") === this.#synced) return;
    this.#synced = clock === "synced";
    void audit.record({ actor: "gateway", action: "clock.state", outcome: "ok", detail: clock });
  }

  #lost(action: string, count: number, what: string): void {
    if (count > 0)
      void this.#parts.audit.record({ actor: "gateway", action, outcome: "failed", detail: `${count} ${what}` });
  }
}
