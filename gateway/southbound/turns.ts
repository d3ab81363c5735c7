import type { Device, Driver, Request } from "../core/driver.ts";
import type { BusParts } from "./bus.ts";
import type { GroupRun, Turn } from "./group-run.ts";
import { nextRead } from "./next-read.ts";
import type { Station } from "./station.ts";
import { type UrgentJob, UrgentQueue } from "./urgent-queue.ts";

/** So much that somebody waits for may go before scans that are ready; then one of those goes first. */
const URGENT_IN_A_ROW = 4;

export type Job =
  | UrgentJob
  | { readonly kind: "read"; readonly station: Station; readonly turn: Turn }
  | { readonly kind: "probe"; readonly station: Station };

type Parts = Pick<BusParts, "stations" | "budget" | "meter">;

/**
 * Whose turn it is on the wire of one connection. A due probe goes first: the budget has already made it rare. Then writes and
 * what is asked on demand, but at most so many in a row while scans are ready. Then a read. What must not be asked yet waits
 * without the wire.
 */
export class Turns {
  readonly urgent = new UrgentQueue();
  /** A probe is on the wire: there is never more than one. */
  probing = false;
  readonly #parts: Parts;
  readonly #driver: Pick<Driver, "heldMs">;
  readonly #checks = new Set<Station>();
  #urgentInARow = 0;

  constructor(parts: Parts, driver: Pick<Driver, "heldMs">) {
    this.#parts = parts;
    this.#driver = driver;
  }

  /** The station is asked although it is not its turn. */
  check(station: Station): void {
    this.#checks.add(station);
  }

  /** What goes onto the wire now; undefined when nothing may. */
  take(nowMs: number): Job | undefined {
    const probe = this.#dueProbe(nowMs);
    if (probe) return { kind: "probe", station: probe };
    const mayGo = this.#urgentInARow < URGENT_IN_A_ROW || !this.#readReady(nowMs);
    const urgent = mayGo ? this.urgent.take((job) => this.#heldMs(job.station, whatOf(job)) <= 0) : undefined;
    if (urgent) {
      this.#urgentInARow++;
      return urgent;
    }
    this.#urgentInARow = 0;
    const first = nextRead(this.#parts.stations, nowMs, (run) => this.#isHeld(run));
    const turn = first?.run.take(nowMs);
    if (!first || !turn) return undefined;
    this.#parts.meter.overruns(first.station.device.name, turn.missed);
    return { kind: "read", station: first.station, turn };
  }

  #readReady(nowMs: number): boolean {
    return this.#parts.stations.some((station) => station.runs.some((run) => run.ready(nowMs) && !this.#isHeld(run)));
  }

  #isHeld(run: GroupRun): boolean {
    const { next } = run;
    return next !== undefined && this.#heldMs(next, next) > 0;
  }

  /** What waits because of an answer that may still come does so without the wire. */
  #heldMs({ device }: { readonly device: Device }, what: Request | "probe" | "write"): number {
    return this.#driver.heldMs?.(device, what) ?? 0;
  }

  #dueProbe(nowMs: number): Station | undefined {
    if (this.probing) return undefined;
    for (const station of this.#checks) {
      if (this.#heldMs(station, "probe") > 0) continue;
      this.#checks.delete(station);
      if (station.breaker.state !== "offline") return station;
    }
    if (this.#parts.budget.freeMs > nowMs) return undefined;
    let oldest: Station | undefined;
    for (const station of this.#parts.stations) {
      if (station.breaker.probeMs > nowMs || this.#heldMs(station, "probe") > 0) continue;
      if (!oldest || station.breaker.lastProbeMs < oldest.breaker.lastProbeMs) oldest = station;
    }
    return oldest;
  }

  /** When there is something to take by time alone. Only when `take` gave nothing. */
  wakeMs(nowMs: number): number {
    let wakeMs = Number.POSITIVE_INFINITY;
    for (const station of this.#parts.stations) {
      for (const run of station.runs) {
        const heldMs = run.ready(nowMs) && run.next ? this.#heldMs(station, run.next) : 0;
        wakeMs = Math.min(wakeMs, heldMs > 0 ? nowMs + heldMs : run.wakeMs);
      }
      if (this.probing) continue;
      const checkMs = this.#checks.has(station) ? nowMs : Number.POSITIVE_INFINITY;
      const probeMs = Math.min(checkMs, Math.max(station.breaker.probeMs, this.#parts.budget.freeMs));
      if (probeMs < wakeMs) wakeMs = Math.min(wakeMs, Math.max(probeMs, nowMs + this.#heldMs(station, "probe")));
    }
    for (const job of this.urgent.waiting) {
      const heldMs = this.#heldMs(job.station, whatOf(job));
      if (heldMs > 0) wakeMs = Math.min(wakeMs, nowMs + heldMs);
    }
    return wakeMs;
  }
}

function whatOf(job: UrgentJob): Request | "write" {
  return job.kind === "write" ? "write" : job.request;
}
