import type { Emit, Tag } from "../../gateway/core/driver.ts";
import type { Sample } from "../../gateway/core/sample.ts";
import type { Fields } from "./parse/parser.ts";
import type { Talker } from "./parse/talker.ts";

/** So many different readings are remembered for the hold-off. */
const MAX_REMEMBERED = 64;
/** The same fault again is told after so long. */
const BAD_AGAIN_MS = 60_000;

export type Heard = "taken" | "duplicate" | "spared";

export interface ListenerParts {
  readonly talker: Talker;
  readonly tags: readonly Tag[];
  readonly emit: Emit;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/** One device that speaks unasked: what of its telegrams is handed on, and when its tags are bad. */
export class Listener {
  readonly talker: Talker;
  /** Whether any of its tags is read; a printer only hears. */
  readonly reads: boolean;
  readonly #parts: ListenerParts;
  readonly #keyTags: ReadonlySet<string>;
  /** Readings by their values, and when each was last heard. */
  readonly #readings = new Map<string, number>();
  #newest: Sample[] | undefined;
  #nextMs = Number.NEGATIVE_INFINITY;
  #spacing: NodeJS.Timeout | undefined;
  #silence: NodeJS.Timeout | undefined;
  /** Settles when the newest telegram that was handed on is on disk. */
  #stored: Promise<void> = Promise.resolve();
  #bad: { readonly reason: string; readonly atMs: number } | undefined;

  constructor(parts: ListenerParts) {
    this.#parts = parts;
    this.talker = parts.talker;
    this.reads = parts.tags.some((tag) => parts.talker.spoken(tag).field !== undefined);
    const events = parts.tags.filter((tag) => tag.stream === "events");
    this.#keyTags = new Set((events.length > 0 ? events : parts.tags).map((tag) => tag.name));
  }

  start(): void {
    this.#expect();
  }

  /** Leaves no timer. What waited for its turn is handed on first. */
  stop(): void {
    clearTimeout(this.#silence);
    clearTimeout(this.#spacing);
    this.#giveNewest();
  }

  /**
   * A telegram of this device whose sender waits for an answer.
   * @param kept resolves when all that came of it is on disk, or of the one that it repeats; rejects where it is not.
   */
  heardAndKept(fields: Fields): { readonly heard: Heard; readonly kept: Promise<void> } {
    const heard = this.heard(fields);
    return { heard, kept: this.#stored };
  }

  /** A telegram of this device. */
  heard(fields: Fields): Heard {
    this.#expect();
    const nowMs = this.#parts.nowMs();
    const samples = this.talker.samples(this.#parts.tags, fields, nowMs);
    if (samples.length === 0) return "taken";
    if (this.#isRepeated(samples, nowMs) && !this.#bad) return "duplicate";
    const { minInterval } = this.talker.options;
    if (minInterval !== undefined && nowMs < this.#nextMs) {
      const kind = this.#newest ? "spared" : "taken";
      this.#newest = samples;
      this.#spacing ??= setTimeout(() => this.#giveNewest(), Math.ceil(this.#nextMs - nowMs));
      return kind;
    }
    this.#give(samples, nowMs);
    return "taken";
  }

  /** Its telegrams cannot be read, or do not come: told at once, and again after a minute. */
  bad(reason: string): void {
    const nowMs = this.#parts.nowMs();
    if (this.#bad?.reason === reason && nowMs - this.#bad.atMs < BAD_AGAIN_MS) return;
    this.#giveNewest();
    this.#bad = { reason, atMs: nowMs };
    const samples = this.talker.bad(this.#parts.tags, reason, nowMs);
    if (samples.length > 0) this.#parts.emit(samples);
  }

  #give(samples: Sample[], nowMs: number): void {
    this.#bad = undefined;
    this.#nextMs = nowMs + (this.talker.options.minInterval ?? 0);
    if (this.talker.options.answer === undefined) {
      this.#parts.emit(samples);
      return;
    }
    // What was heard before has to be there too: a repetition may be held back by a deadband.
    const before = this.#stored.catch(() => {});
    const now = new Promise<void>((resolve, reject) => {
      this.#parts.emit(samples, (error) => (error === undefined ? resolve() : reject(error)));
    });
    this.#stored = Promise.all([before, now]).then(() => {});
    // Its reader is told; nobody else has to know.
    this.#stored.catch(() => this.#readings.clear());
  }

  #giveNewest(): void {
    clearTimeout(this.#spacing);
    this.#spacing = undefined;
    const samples = this.#newest;
    this.#newest = undefined;
    if (samples) this.#give(samples, this.#parts.nowMs());
  }

  /** Each repetition makes the hold-off begin anew, so that what stays in front of a reader is read once. */
  #isRepeated(samples: readonly Sample[], nowMs: number): boolean {
    const { holdOff } = this.talker.options;
    if (holdOff === undefined) return false;
    const own = samples.filter((sample) => this.#keyTags.has(sample.tag));
    const key = own.map(({ value, reason }) => `${typeof value} ${String(value ?? reason)}`).join("\n");
    const lastMs = this.#readings.get(key);
    this.#readings.delete(key);
    this.#readings.set(key, nowMs);
    if (this.#readings.size > MAX_REMEMBERED) {
      for (const oldest of this.#readings.keys()) {
        this.#readings.delete(oldest);
        break;
      }
    }
    return lastMs !== undefined && nowMs - lastMs < holdOff;
  }

  #expect(): void {
    const { silentAfter } = this.talker.options;
    if (silentAfter === undefined) return;
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.bad("silent"), silentAfter);
  }
}
