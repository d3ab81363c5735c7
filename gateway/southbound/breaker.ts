export type DeviceState = "unknown" | "online" | "offline";

/**
 * The bus time that goes to devices which do not answer. Each such call of a link, whichever device it was for, is followed by
 * so long a pause for all of them that together they never take more than their share.
 */
export class ProbeBudget {
  readonly #share: number;
  #freeMs = Number.NEGATIVE_INFINITY;

  constructor(share: number) {
    this.#share = share;
  }

  /** From when on the next probe is allowed. */
  get freeMs(): number {
    return this.#freeMs;
  }

  charge(startMs: number, costMs: number): void {
    this.#freeMs = Math.max(this.#freeMs, startMs + costMs / this.#share);
  }
}

export interface BreakerOptions {
  readonly timeoutsToOffline: number;
  readonly probeMinMs: number;
  readonly probeMaxMs: number;
}

/**
 * Whether one device on one link answers. After some consecutive timeouts it is offline and only probed, with a pause that
 * doubles. An answer to a probe brings it back at once, on trial: until a read is answered too, one timeout is enough, so that a
 * device which answers probes but no reads stays within the budget.
 */
export class Breaker {
  readonly #options: BreakerOptions;
  #state: DeviceState = "unknown";
  #timeouts = 0;
  #trial = false;
  #pauseMs = 0;
  #probeMs = Number.POSITIVE_INFINITY;
  #lastProbeMs = Number.NEGATIVE_INFINITY;

  constructor(options: BreakerOptions) {
    this.#options = options;
  }

  get state(): DeviceState {
    return this.#state;
  }

  /** When a device that is offline wants its next probe. */
  get probeMs(): number {
    return this.#probeMs;
  }

  /** When it had its last probe: among those due, the one that waited longest goes first. */
  get lastProbeMs(): number {
    return this.#lastProbeMs;
  }

  /** @returns whether the state changed. */
  answered(what: "read" | "probe"): boolean {
    const changed = this.#state !== "online";
    if (what === "read") this.#trial = false;
    else if (this.#state === "offline") this.#trial = true;
    this.#timeouts = 0;
    this.#state = "online";
    this.#probeMs = Number.POSITIVE_INFINITY;
    return changed;
  }

  /** A call was not answered. @returns whether the device went offline. */
  timedOut(nowMs: number): boolean {
    if (this.#state === "offline") return false;
    this.#timeouts++;
    if (this.#timeouts < (this.#trial ? 1 : this.#options.timeoutsToOffline)) return false;
    this.#state = "offline";
    // A device that went back to silence from its trial goes on where it was.
    if (!this.#trial) this.#pauseMs = this.#options.probeMinMs;
    this.#probeMs = nowMs + this.#pauseMs;
    this.#lastProbeMs = nowMs;
    return true;
  }

  /** A probe begins. */
  probing(nowMs: number): void {
    if (this.#state !== "offline") return;
    this.#lastProbeMs = nowMs;
    this.#pauseMs = Math.min(this.#options.probeMaxMs, this.#pauseMs * 2);
    this.#probeMs = nowMs + this.#pauseMs;
  }

  /** The link is new: a device that is offline is asked as soon as the budget allows. */
  reconnected(nowMs: number): void {
    this.#timeouts = 0;
    if (this.#state === "offline") this.#probeMs = nowMs;
  }
}
