import type { Tag } from "../core/driver.ts";
import type { Sample, Value } from "../core/sample.ts";

/**
 * Remembers what was sent last of each tag and says what is due. A tag without deadband is always due. Otherwise: the
 * first sample, every change of quality or of the reason for it, a number that moved by at least the deadband since it
 * was last sent (0: any change), and anything else (bool, string, bytes) when it is not the same.
 */
export class Deadband {
  readonly #widths: ReadonlyMap<string, number | undefined>;
  readonly #sent = new Map<string, Sample>();

  constructor(tags: readonly Tag[]) {
    this.#widths = new Map(tags.map((tag) => [tag.name, tag.deadband]));
  }

  /** The samples to send, in the same order; from now on they count as sent. */
  due(samples: readonly Sample[]): Sample[] {
    const due = samples.filter((sample) => this.#isDue(sample));
    this.sent(due);
    return due;
  }

  /** Takes note of samples that are sent whatever the deadband. */
  sent(samples: readonly Sample[]): void {
    for (const sample of samples) this.#sent.set(sample.tag, sample);
  }

  #isDue(sample: Sample): boolean {
    const width = this.#widths.get(sample.tag);
    const last = this.#sent.get(sample.tag);
    if (width === undefined || last === undefined) return true;
    if (sample.quality !== last.quality || sample.reason !== last.reason) return true;
    return moved(last.value, sample.value, width);
  }
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
