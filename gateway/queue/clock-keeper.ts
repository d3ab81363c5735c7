import type { BootOffset, Clock, ClockSource, Instant, SentTime } from "../core/clock.ts";
import type { Logger } from "../core/log.ts";
import type { Counter, Gauge, Metrics } from "../core/metrics.ts";
import { Boots, type StoredTime } from "./boots.ts";
import { Serial } from "./deferred.ts";
import { errorText } from "./files.ts";
import { TwoSlotFile } from "./two-slot.ts";

const LOOK_MS = 1000;
/** Both clocks are slewed together: their difference changes by steps only, and by the noise of reading them. */
const STEP_MS = 100;
const READINGS = 5;
/** The floor is written this often, for the card's sake. */
const FLOOR_MS = 600_000;
/** How far off a clock may be that a time service has just set, and one that is merely not impossible. */
const UNCERTAINTY_MS: Readonly<Record<ClockSource, number>> = { timesyncd: 50, chrony: 50, plausible: 1000 };

export interface ClockKeeperParts {
  readonly clock: Clock;
  /** The file `state/boots`. */
  readonly path: string;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly onWritten: (bytes: number, fsyncs: number) => void;
}

/**
 * Watches the clock and remembers, over restarts, how the monotonic time of each boot lies on it, and a time this machine
 * has lived through. Without its file it begins anew: records of earlier boots then stay unsynced. Never rejects.
 */
export class ClockKeeper {
  readonly #parts: ClockKeeperParts;
  readonly #file: TwoSlotFile;
  readonly #writes = new Serial();
  readonly #learnt = new Set<() => void>();
  readonly #synced: Gauge;
  readonly #steps: Counter;
  #boots = new Boots();
  #floorMs = 0;
  #floorAt = 0;
  #state: Instant["clock"] | undefined;
  #dirty = false;
  #saving = false;
  #open = false;
  #refused = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: ClockKeeperParts) {
    this.#parts = parts;
    this.#file = new TwoSlotFile(parts.path);
    this.#synced = parts.metrics.gauge("millrace_clock_synced", "1 while the wall clock counts as set.");
    this.#steps = parts.metrics.counter("millrace_clock_steps_total", "Steps of the wall clock while it was set.");
  }

  async start(): Promise<void> {
    await this.#load();
    this.#parts.clock.floor?.(this.#floorMs);
    this.#floorAt = this.#parts.clock.now().monoMs;
    this.look();
    this.#timer = setInterval(() => this.look(), LOOK_MS);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    const { wallMs, clock } = this.#parts.clock.now();
    if (clock === "synced" && this.#open) {
      this.#floorMs = wallMs;
      await this.#save();
    }
    this.#open = false;
    await this.#writes.run(() => this.#file.close()).catch(() => {});
  }

  /** The time of a record as far as it is known by now. */
  timeOf(stored: StoredTime): SentTime {
    const time = this.#boots.timeOf(stored);
    const { clock } = this.#parts;
    if (time.clock !== "unsynced" || stored.bootId !== clock.bootId || clock.now().clock !== "synced") return time;
    // It has been set since the last look.
    this.look();
    return this.#boots.timeOf(stored);
  }

  offsetOf(bootId: string): BootOffset | undefined {
    return this.#boots.first(bootId);
  }

  /** Whether the offset of this boot is known, or can become so. */
  mayKnow(bootId: string): boolean {
    return bootId === this.#parts.clock.bootId || this.#boots.latest(bootId) !== undefined;
  }

  /** Calls back when an offset became known. */
  onLearnt(listener: () => void): void {
    this.#learnt.add(listener);
  }

  /** Looks at the clock; done each second. */
  look(): void {
    const { clock } = this.#parts;
    const now = clock.now();
    this.#tell(now);
    if (now.clock === "synced") {
      const known = this.#boots.latest(clock.bootId);
      if (known === undefined || Math.abs(offsetOf(now) - known.offsetMs) > STEP_MS) this.#measure(known?.offsetMs);
      if (now.monoMs - this.#floorAt >= FLOOR_MS) this.#raise(now);
    }
    if (this.#dirty && !this.#saving) void this.#save();
  }

  #raise({ wallMs, monoMs }: Instant): void {
    this.#floorMs = wallMs;
    this.#floorAt = monoMs;
    this.#parts.clock.floor?.(wallMs);
    this.#dirty = true;
  }

  /** A reading that was held up between the two clocks is too large: the least of some is the best. */
  #measure(beforeMs: number | undefined): void {
    const { clock, log } = this.#parts;
    const readings = Array.from({ length: READINGS }, () => clock.now());
    const best = readings.reduce((least, one) => (offsetOf(one) < offsetOf(least) ? one : least));
    const offsetMs = offsetOf(best);
    if (readings.some((one) => one.clock !== "synced")) return;
    if (beforeMs !== undefined && Math.abs(offsetMs - beforeMs) <= STEP_MS) return;
    const source = clock.source?.() ?? "plausible";
    const uncertaintyMs = UNCERTAINTY_MS[source];
    this.#boots.learn(clock.bootId, { fromMonoMs: best.monoMs, offsetMs, uncertaintyMs, source });
    if (beforeMs !== undefined) {
      this.#steps.inc();
      log.warn({ byMs: Math.round(offsetMs - beforeMs), source }, "clock stepped");
    }
    // Who steps the clock back to before the floor means it: what is written later must not call that time impossible.
    if (best.wallMs < this.#floorMs) this.#raise(best);
    this.#dirty = true;
    for (const listener of [...this.#learnt]) listener();
  }

  #tell({ clock, wallMs }: Instant): void {
    this.#synced.set(clock === "synced" ? 1 : 0);
    if (clock === this.#state) return;
    const { log } = this.#parts;
    const before = this.#state;
    this.#state = clock;
    if (clock === "unsynced") log.warn({ wallMs, floorMs: this.#floorMs }, "clock is not set");
    else if (before !== undefined) log.info({ wallMs, source: this.#parts.clock.source?.() }, "clock is set");
  }

  async #load(): Promise<void> {
    const { log } = this.#parts;
    try {
      const { content, damaged } = await this.#file.open();
      this.#open = true;
      const found = tableOf(content);
      if (found) {
        this.#boots = found.boots;
        this.#floorMs = found.floorMs;
      } else if (damaged || content !== undefined) {
        log.error({}, "times of earlier boots are unreadable: their records stay unsynced");
      }
    } catch (error) {
      log.error({ reason: errorText(error) }, "times of boots cannot be kept over a restart");
    }
  }

  /** Tried again at the next look. */
  async #save(): Promise<void> {
    if (!this.#open) return;
    this.#dirty = false;
    this.#saving = true;
    try {
      const bytes = await this.#writes.run(() =>
        this.#file.write({ format: 1, floorMs: this.#floorMs, boots: this.#boots }, true),
      );
      this.#parts.onWritten(bytes, 1);
      this.#refused = false;
    } catch (error) {
      if (!this.#refused) this.#parts.log.warn({ reason: errorText(error) }, "times of boots not written, trying on");
      this.#refused = true;
      this.#dirty = true;
    } finally {
      this.#saving = false;
    }
  }
}

function offsetOf({ wallMs, monoMs }: Instant): number {
  return wallMs - monoMs;
}

/** The boots in the content of the file; none where it has none that can be trusted. */
export function bootsIn(content: unknown): Boots {
  return tableOf(content)?.boots ?? new Boots();
}

function tableOf(content: unknown): { floorMs: number; boots: Boots } | undefined {
  if (typeof content !== "object" || content === null || !("floorMs" in content) || !("boots" in content)) return;
  const { floorMs } = content;
  const boots = Boots.of(content.boots);
  return typeof floorMs === "number" && boots !== undefined ? { floorMs, boots } : undefined;
}
