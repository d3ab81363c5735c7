import { isDerived } from "../../core/derived.ts";
import type { Device, TagWrite, WriteResult } from "../../core/driver.ts";
import type { Sample } from "../../core/sample.ts";
import { Derivation } from "./derivation.ts";
import { Shaper } from "./shaper.ts";

/**
 * All that is made of the samples of one device between its driver and everybody else: shapes, and derived tags. Knows the
 * last sample of each tag that a derived one needs; that, and counters, are forgotten when the gateway stops.
 */
export class DeviceShaper {
  readonly #shapers: ReadonlyMap<string, Shaper>;
  readonly #derivations: readonly Derivation[];
  readonly #needed: ReadonlySet<string>;
  readonly #latest = new Map<string, Sample>();

  /** Undefined for a device whose samples are sent as they are. */
  static of(device: Device): DeviceShaper | undefined {
    const isPlain = !device.tags.some((tag) => tag.shape) && (device.derived ?? []).length === 0;
    return isPlain ? undefined : new DeviceShaper(device);
  }

  private constructor({ tags, derived = [] }: Device) {
    this.#shapers = new Map(tags.flatMap((tag) => (tag.shape ? [[tag.name, new Shaper(tag.shape, tag.type)]] : [])));
    this.#derivations = derived.map((tag) => new Derivation(tag));
    this.#needed = new Set(derived.flatMap((tag) => tag.inputs));
  }

  /** Samples as the driver gave them become what everybody else sees. */
  up(samples: readonly Sample[]): Sample[] {
    return samples.map((sample) => this.#shapers.get(sample.tag)?.up(sample) ?? sample);
  }

  /** What follows for the derived tags from samples that went through `up`, each at most once. */
  derive(samples: readonly Sample[]): Sample[] {
    if (this.#derivations.length === 0) return [];
    const fresh = new Map<string, number>();
    const note = (sample: Sample) => {
      fresh.set(sample.tag, sample.monoMs);
      if (this.#needed.has(sample.tag)) this.#latest.set(sample.tag, sample);
    };
    for (const sample of samples) note(sample);
    const made: Sample[] = [];
    for (const derivation of this.#derivations) {
      const times = derivation.tag.triggers.flatMap((name) => fresh.get(name) ?? []);
      if (times.length === 0) continue;
      const sample = derivation.sample(this.#latest, Math.max(...times));
      made.push(sample);
      note(sample);
    }
    return made;
  }

  /** Every tag is bad: nothing may be worked out from what was before. */
  lost(samples: readonly Sample[]): void {
    for (const sample of samples) if (this.#needed.has(sample.tag)) this.#latest.set(sample.tag, sample);
  }

  /**
   * Writes as the driver wants them. What cannot be written is a result already; `results` puts those and the driver's
   * together, in the order of `writes`.
   */
  down(writes: readonly TagWrite[]): {
    readonly writes: readonly TagWrite[];
    readonly results: (done: readonly WriteResult[]) => WriteResult[];
  } {
    const refused = new Map<number, WriteResult>();
    const shaped = writes.flatMap((write, index) => {
      const { tag, value } = write;
      if (isDerived(tag)) {
        refused.set(index, { tag: tag.name, ok: false, reason: "a derived tag cannot be written" });
        return [];
      }
      const shaper = this.#shapers.get(tag.name);
      if (!shaper) return [write];
      const result = shaper.down(value);
      if ("value" in result) return [{ tag, value: result.value }];
      refused.set(index, { tag: tag.name, ok: false, reason: result.reason });
      return [];
    });
    const results = (done: readonly WriteResult[]) => {
      const rest = done.map((result) => this.#result(result));
      return writes.flatMap((_write, index) => refused.get(index) ?? rest.shift() ?? []);
    };
    return { writes: shaped, results };
  }

  #result(result: WriteResult): WriteResult {
    const shaper = this.#shapers.get(result.tag);
    if (!shaper) return result;
    const { before, after, ...rest } = result;
    const seen = (value: NonNullable<typeof before>) =>
      shaper.up({ tag: result.tag, quality: "good", value, monoMs: 0 }).value;
    const [was, is] = [before === undefined ? undefined : seen(before), after === undefined ? undefined : seen(after)];
    return { ...rest, ...(was === undefined ? {} : { before: was }), ...(is === undefined ? {} : { after: is }) };
  }
}
