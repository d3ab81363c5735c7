import type { TagState, TagView } from "../api.ts";

/** A tag as its row shows it. */
export interface Row extends Omit<TagView, "reason" | "at"> {
  reason?: string | undefined;
  at?: number | undefined;
  /** When its value or quality last changed; undefined while that was before the page looked. */
  changedAt?: number | undefined;
}

/** The rows of a device, by name and in their order. Changes are made in place: there may be thousands each second. */
export class Tags {
  readonly rows: readonly Row[];
  readonly since: number;
  readonly #byName = new Map<string, Row>();

  constructor(values: readonly TagView[], now: number) {
    this.rows = values.map((value) => ({ ...value }));
    this.since = now;
    for (const row of this.rows) this.#byName.set(row.tag, row);
  }

  take(states: readonly TagState[]): void {
    for (const { tag, value, quality, reason, at } of states) {
      const row = this.#byName.get(tag);
      if (!row) continue;
      if (row.value !== value || row.quality !== quality) row.changedAt = at;
      row.value = value;
      row.quality = quality;
      row.reason = reason;
      row.at = at;
    }
  }

  of(tag: string): Row | undefined {
    return this.#byName.get(tag);
  }

  /** Those whose name, unit or address has the text; with `bad`, those without a good value only. */
  found(text: string, bad: boolean): readonly Row[] {
    const wanted = text.toLowerCase();
    if (wanted === "" && !bad) return this.rows;
    return this.rows.filter(
      ({ tag, address, quality }) =>
        (!bad || quality !== "good") && `${tag} ${address ?? ""}`.toLowerCase().includes(wanted),
    );
  }
}
