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
  /** A probe waits at least so long for an answer. */
  readonly probePatienceMs: number;
}

/** A device that is known to answer quickly is asked briefly; one probe in so many waits as long as a read would. */
const FULL_PROBE = 4;
/** What a device took at most weighs so much less with each answer. */
const FORGET = 0.99;

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
  #slowestMs: number | undefined;
  #probes = 0;

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

  /**
   * How long the probe that begins now waits; undefined: as long as the driver does. A probe that gives up after three times
   * what the device ever took costs its neighbours a tenth of a timeout of a second.
   */
  get patienceMs(): number | undefined {
    if (this.#slowestMs === undefined || this.#probes % FULL_PROBE === 0) return undefined;
    return Math.max(this.#options.probePatienceMs, 3 * this.#slowestMs);
  }

  /** @returns whether the state changed. */
  answered(what: "read" | "probe", tookMs: number): boolean {
    const changed = this.#state !== "online";
    this.#slowestMs = Math.max(tookMs, (this.#slowestMs ?? 0) * FORGET);
    this.#probes = 0;
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
    this.#probes++;
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
