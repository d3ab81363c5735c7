import type { Device } from "../core/driver.ts";
import type { Sample, Value } from "../core/sample.ts";
import type { HistoryView, TagState } from "../http/api/schemas.ts";
import type { Scan } from "../southbound/scan.ts";

const HOUR_MS = 3_600_000;
/** All histories together: 16 bytes a step. */
const HISTORY_BYTES = 32 * 1024 * 1024;
const MOST_STEPS = 720;
const LEAST_STEPS = 60;

interface Held {
  sample: Sample | undefined;
  wallMs: number;
  mark: number;
  history: History | undefined;
}

/** How many steps an hour has for so many tags: 5 s for up to 2,900 of them, at the coarsest a minute. */
export function stepsFor(tags: number): number {
  return Math.max(LEAST_STEPS, Math.min(MOST_STEPS, Math.floor(HISTORY_BYTES / 16 / Math.max(1, tags))));
}

/** The newest sample of each tag, which of them changed, and their last hour, in memory and bounded by the number of tags. */
export class LiveTags {
  #devices: ReadonlyMap<string, Map<string, Held>> = new Map();
  #steps = 0;
  readonly #now: () => number;
  #mark = 1;

  /** `now` gives Unix milliseconds. */
  constructor(devices: readonly Device[], now: () => number) {
    this.#now = now;
    this.follow(devices);
  }

  /** Other devices and tags from now on; what stays keeps its sample and its hour. */
  follow(devices: readonly Device[]): void {
    const found = new Map<string, Map<string, Held>>();
    let count = 0;
    for (const { name, tags, derived = [] } of devices) {
      const known = this.#devices.get(name);
      const held = new Map<string, Held>();
      for (const { name: tag } of [...tags, ...derived]) {
        held.set(tag, known?.get(tag) ?? { sample: undefined, wallMs: 0, mark: 0, history: undefined });
        count++;
      }
      found.set(name, held);
    }
    this.#devices = found;
    this.#steps = stepsFor(count);
  }

  take({ device, taken, samples }: Scan): void {
    const tags = this.#devices.get(device.name);
    if (!tags) return;
    const mark = ++this.#mark;
    for (const sample of samples) {
      const held = tags.get(sample.tag);
      if (!held) continue;
      held.sample = sample;
      held.wallMs = taken.wallMs + Math.round(sample.monoMs - taken.monoMs);
      held.mark = mark;
      const number = numberOf(sample);
      if (number !== undefined || held.history) {
        held.history ??= new History(this.#steps);
        held.history.take(number ?? Number.NaN, held.wallMs);
      }
    }
  }

  /** Undefined where there is no such device. */
  states(device: string): TagState[] | undefined {
    const tags = this.#devices.get(device);
    return tags && [...tags].map(([tag, held]) => stateOf(tag, held));
  }

  /** Those of a device that changed since a mark; mark 0 gives all. */
  changed(device: string, since: number): { readonly tags: TagState[]; readonly mark: number } {
    const found: TagState[] = [];
    for (const [tag, held] of this.#devices.get(device) ?? []) {
      if (since === 0 || held.mark > since) found.push(stateOf(tag, held));
    }
    return { tags: found, mark: this.#mark };
  }

  /** Tags without a good value. */
  bad(device: string): number {
    let count = 0;
    for (const { sample } of this.#devices.get(device)?.values() ?? []) if (sample?.quality !== "good") count++;
    return count;
  }

  hasHistory(device: string, tag: string): boolean {
    return this.#devices.get(device)?.get(tag)?.history !== undefined;
  }

  history(device: string, tag: string): HistoryView | undefined {
    const history = this.#devices.get(device)?.get(tag)?.history;
    return history && { device, tag, ...history.view(this.#now()) };
  }
}

/** Least and greatest value of each step of the last hour. */
class History {
  readonly #stepMs: number;
  readonly #min: Float64Array;
  readonly #max: Float64Array;
  /** Number of the newest step since 1970. */
  #at = 0;
  #last = Number.NaN;

  constructor(steps: number) {
    this.#stepMs = Math.ceil(HOUR_MS / steps);
    this.#min = new Float64Array(steps).fill(Number.NaN);
    this.#max = new Float64Array(steps).fill(Number.NaN);
  }

  /** NaN: from here on it is not known. */
  take(value: number, wallMs: number): void {
    const at = Math.floor(wallMs / this.#stepMs);
    this.#goTo(at);
    const slot = at % this.#min.length;
    this.#last = value;
    if (Number.isNaN(value)) return;
    this.#min[slot] = least(this.#min[slot], value);
    this.#max[slot] = greatest(this.#max[slot], value);
  }

  view(nowMs: number): { from: number; stepMs: number; min: (number | null)[]; max: (number | null)[] } {
    const steps = this.#min.length;
    const end = Math.floor(nowMs / this.#stepMs);
    this.#goTo(end);
    const first = this.#at - steps + 1;
    const shown = (values: Float64Array) =>
      Array.from({ length: steps }, (_, index) => {
        const value = values[(first + index) % steps];
        return value === undefined || Number.isNaN(value) ? null : value;
      });
    return { from: first * this.#stepMs, stepMs: this.#stepMs, min: shown(this.#min), max: shown(this.#max) };
  }

  /** Steps in which nothing was sent hold what held before them: a value within its deadband is not sent again. */
  #goTo(at: number): void {
    const steps = this.#min.length;
    if (this.#at === 0) this.#at = at;
    else if (at < this.#at) {
      // A sample is a little older than the look before it; far older it is only after the clock was set back.
      if (this.#at - at <= steps / 10) return;
      this.#min.fill(Number.NaN);
      this.#max.fill(Number.NaN);
      this.#at = at;
    } else {
      this.#fill(Math.max(this.#at + 1, at + 1 - steps), at + 1);
      this.#at = at;
    }
  }

  #fill(from: number, to: number): void {
    for (let step = from; step < to; step++) {
      this.#min[step % this.#min.length] = this.#last;
      this.#max[step % this.#max.length] = this.#last;
    }
  }
}

function least(held: number | undefined, value: number): number {
  return held === undefined || Number.isNaN(held) ? value : Math.min(held, value);
}

function greatest(held: number | undefined, value: number): number {
  return held === undefined || Number.isNaN(held) ? value : Math.max(held, value);
}

function numberOf({ quality, value }: Sample): number | undefined {
  if (quality !== "good") return undefined;
  if (typeof value === "number") return value;
  if (typeof value === "boolean" || typeof value === "bigint") return Number(value);
  return undefined;
}

function stateOf(tag: string, { sample, wallMs }: Held): TagState {
  if (!sample) return { tag, value: null, quality: "none" };
  const { value, quality, reason } = sample;
  return { tag, value: shownValue(value), quality, at: wallMs, ...(reason === undefined ? {} : { reason }) };
}

/** As JSON has it: whole numbers beyond 2^53 as text, bytes as hex. */
export function shownValue(value: Value | undefined): string | number | boolean | null {
  if (value === undefined) return null;
  if (typeof value === "bigint") return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  return value;
}
