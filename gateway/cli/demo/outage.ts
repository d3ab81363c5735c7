import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../../core/errors.ts";
import { formatDuration } from "../../core/options/units.ts";
import type { DemoModel } from "./model.ts";
import type { Upstream } from "./upstream.ts";

export interface OutageOptions {
  readonly upstream: Upstream;
  readonly lengthMs: number;
  /** Time before it begins; default 10 s. */
  readonly quietMs?: number;
  tell(text: string): void;
}

const QUIET_MS = 10_000;
/** What is on its way at any moment is no backlog. */
const FEW = 3;

/** Takes the upstream away after 10 s, brings it back, and tells when the backlog is through. */
export class Outage {
  readonly #options: OutageOptions;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #backAtMs = 0;
  #returnedAtMs: number | undefined;
  #before = 0;
  #most = 0;

  constructor(options: OutageOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= this.#run(this.#stop.signal).catch((error: unknown) => {
      if (!this.#stop.signal.aborted) this.#options.tell(`the upstream does not come back: ${messageOf(error)}`);
    });
  }

  /** Leaves the upstream as it is. Idempotent, never rejects. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** For people: `back in 12 s`. */
  remaining(): string {
    return `back in ${Math.max(Math.ceil((this.#backAtMs - performance.now()) / 1000), 0)} s`;
  }

  /** Looks at the backlog; to be called every now and then. */
  watch(model: DemoModel): void {
    const { backlog } = model.gateway;
    const verdict = model.verdict();
    if (!this.#options.upstream.isUp) this.#before = verdict.received;
    if (backlog !== undefined) this.#most = Math.max(this.#most, backlog);
    if (this.#returnedAtMs === undefined || backlog === undefined || verdict.received <= this.#before) return;
    if (model.gateway.uplinkState !== "connected" || backlog > FEW) return;
    const took = formatDuration(performance.now() - this.#returnedAtMs);
    this.#returnedAtMs = undefined;
    this.#options.tell(
      `outage over: ${this.#most} records waited on disk, all delivered ${took} after the return; ` +
        `missing ${verdict.missingRanges}`,
    );
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { upstream, lengthMs, quietMs = QUIET_MS, tell } = this.#options;
    await delay(quietMs, undefined, { signal });
    this.#backAtMs = performance.now() + lengthMs;
    tell(`outage: the upstream is unreachable for ${formatDuration(lengthMs)}; the gateway keeps what comes`);
    await upstream.down();
    await delay(lengthMs, undefined, { signal });
    await upstream.up();
    this.#returnedAtMs = performance.now();
    tell("the upstream is back; the backlog follows when the gateway has seen it");
  }
}
