import type { Tag } from "../core/driver.ts";
import type { Sample, Value } from "../core/sample.ts";

/** What is known of a tag that is not simply sent with every scan. */
interface Watch {
  readonly width: number | undefined;
  readonly everyMs: number;
  readonly maxSilenceMs: number;
  readonly minIntervalMs: number;
  sent: Sample | undefined;
  /** Monotonic time. */
  sentMs: number;
  /** When the next change may be sent. */
  freeMs: number;
  /** The newest that was read since, and not sent. */
  unsent: Sample | undefined;
  /** It is not what was sent, and only waits for its time. */
  held: boolean;
}

/** A change may go so much of its interval early, with the scan that read it, as long as the rate is kept on average. */
const EARLY = 0.1;

/**
 * Remembers what was sent last of each tag and says what is due. A tag without deadband, silence and interval is always due.
 * Otherwise: the first sample, every change of quality, and with `minIntervalMs` kept a change: of the reason, of a number by
 * at least the deadband since it was last sent (0: any change), and of anything else (bool, string, bytes). What is not due
 * is sent later, when nothing newer came: a change when the interval is over, the rest when the silence has lasted long enough. A
 * reading after which the next one would come too late for that is due at once.
 */
export class Deadband {
  /** Undefined where all tags are always due. */
  readonly #watches: ReadonlyMap<string, Watch> | undefined;
  readonly #timed: readonly Watch[];
  #displaced: Sample[] = [];

  constructor(tags: readonly Tag[]) {
    const watches = tags.flatMap((tag): [string, Watch][] => (isWatched(tag) ? [[tag.name, watchOf(tag)]] : []));
    this.#watches = watches.length === 0 ? undefined : new Map(watches);
    this.#timed = watches
      .map(([, watch]) => watch)
      .filter(({ maxSilenceMs, minIntervalMs }) => maxSilenceMs < Number.POSITIVE_INFINITY || minIntervalMs > 0);
  }

  /** The samples to send at `nowMs`, in the same order; from now on they count as sent. */
  due(samples: readonly Sample[], nowMs: number): readonly Sample[] {
    const watches = this.#watches;
    if (!watches) return samples;
    return samples.filter((sample) => {
      const watch = watches.get(sample.tag);
      return !watch || this.#isDue(watch, sample, nowMs);
    });
  }

  /** Takes note of samples that are sent whatever is due. */
  sent(samples: readonly Sample[], nowMs: number): void {
    for (const sample of samples) {
      const watch = this.#watches?.get(sample.tag);
      if (watch) this.#send(watch, sample, nowMs);
    }
  }

  /** These did not arrive where they were sent: whatever is read next of their tags is due. */
  forget(samples: readonly Sample[]): void {
    for (const { tag } of samples) {
      const watch = this.#watches?.get(tag);
      if (watch) watch.sent = undefined;
    }
  }

  /** When something that was read will be due without anything new: monotonic time, or infinity. */
  get nextMs(): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const watch of this.#timed) nextMs = Math.min(nextMs, dueMs(watch));
    return nextMs;
  }

  /** What is due by time alone; from now on it counts as sent. */
  late(nowMs: number): Sample[] {
    return this.#take((watch) => dueMs(watch) <= nowMs, nowMs);
  }

  /** Changes that still wait for their time, which will not come. */
  rest(nowMs: number): Sample[] {
    return this.#take((watch) => watch.held, nowMs);
  }

  /** Changes that waited when a change of quality overtook them: to be sent before it. Gives each once. */
  displaced(): readonly Sample[] {
    if (this.#displaced.length === 0) return this.#displaced;
    const displaced = this.#displaced;
    this.#displaced = [];
    return displaced;
  }

  #isDue(watch: Watch, sample: Sample, nowMs: number): boolean {
    const { sent } = watch;
    if (sent && sample.quality === sent.quality) {
      const changed = isChange(watch.width, sent, sample);
      if (changed ? isTooEarly(watch, nowMs) : hasTime(watch, nowMs)) {
        watch.unsent = sample;
        watch.held = changed;
        return false;
      }
    }
    this.#send(watch, sample, nowMs);
    return true;
  }

  #send(watch: Watch, sample: Sample, nowMs: number): void {
    if (watch.held && watch.unsent && watch.unsent.quality !== sample.quality) this.#displaced.push(watch.unsent);
    watch.sent = sample;
    watch.sentMs = nowMs;
    const { freeMs, minIntervalMs } = watch;
    watch.freeMs = Math.min(Math.max(freeMs, nowMs), nowMs + EARLY * minIntervalMs) + minIntervalMs;
    watch.unsent = undefined;
    watch.held = false;
  }

  #take(which: (watch: Watch) => boolean, nowMs: number): Sample[] {
    return this.#timed.flatMap((watch) => {
      const { unsent } = watch;
      if (!unsent || !which(watch)) return [];
      this.#send(watch, unsent, nowMs);
      return [unsent];
    });
  }
}

function isWatched({ deadband, maxSilenceMs, minIntervalMs }: Tag): boolean {
  return deadband !== undefined || maxSilenceMs !== undefined || minIntervalMs !== undefined;
}

function watchOf(tag: Tag): Watch {
  const { deadband, everyMs, maxSilenceMs = Number.POSITIVE_INFINITY, minIntervalMs = 0 } = tag;
  const nothing = { sent: undefined, sentMs: 0, freeMs: 0, unsent: undefined, held: false };
  return { width: deadband, everyMs, maxSilenceMs, minIntervalMs, ...nothing };
}

function isTooEarly({ freeMs, minIntervalMs }: Watch, nowMs: number): boolean {
  return nowMs < freeMs - EARLY * minIntervalMs;
}

/** Whether the next reading, even a bit late, comes before the silence is too long. */
function hasTime({ everyMs, sentMs, maxSilenceMs }: Watch, nowMs: number): boolean {
  return nowMs + (1 + EARLY) * everyMs <= sentMs + maxSilenceMs;
}

function dueMs({ unsent, held, sentMs, freeMs, maxSilenceMs }: Watch): number {
  if (!unsent) return Number.POSITIVE_INFINITY;
  return held ? freeMs : sentMs + maxSilenceMs;
}

/** Without a width every sample is one, changed or not. */
function isChange(width: number | undefined, from: Sample, to: Sample): boolean {
  return width === undefined || to.reason !== from.reason || moved(from.value, to.value, width);
}

function moved(from: Value | undefined, to: Value | undefined, width: number): boolean {
  if (isNumeric(from) && isNumeric(to)) {
    // `<` and `>` compare bigint and number exactly; a subtraction through Number would lose the last digits.
    if (!(from < to || from > to)) return false;
    return distance(from, to) >= width;
  }
  if (from instanceof Uint8Array && to instanceof Uint8Array) {
    return from.length !== to.length || from.some((byte, index) => byte !== to[index]);
  }
  return from !== to;
}

function isNumeric(value: Value | undefined): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}

function distance(from: number | bigint, to: number | bigint): number {
  const delta = typeof from === "bigint" && typeof to === "bigint" ? Number(to - from) : Number(to) - Number(from);
  return Math.abs(delta);
}
