import type { Heard } from "./wire.ts";

export interface ClockSummary {
  /** Records that came with a corrected time. */
  readonly corrected: number;
  /** Records that came without a known time. */
  readonly unsynced: number;
  /** Those of them whose boot a clock record dates. */
  readonly covered: number;
  /** Boots that a clock record was received for. */
  readonly clockRecords: number;
}

/** JSON. Keys are gateway and boot id; `told` counts how often. */
export interface SavedClocks {
  readonly corrected: number;
  readonly unsynced: Readonly<Record<string, number>>;
  readonly told: Readonly<Record<string, number>>;
}

/** Counts what a receiver knows of the time of what it got. */
export class ClockBook {
  #corrected = 0;
  readonly #unsynced = new Map<string, number>();
  readonly #told = new Map<string, number>();

  static of(saved: SavedClocks | undefined): ClockBook {
    const book = new ClockBook();
    if (saved === undefined) return book;
    book.#corrected = saved.corrected;
    for (const [key, records] of Object.entries(saved.unsynced)) book.#unsynced.set(key, records);
    for (const [key, times] of Object.entries(saved.told)) book.#told.set(key, times);
    return book;
  }

  /** `again`: its id was received before, and counts as it did then. */
  record({ gateway, clock, boot }: Extract<Heard, { kind: "record" }>, again: boolean): void {
    if (again) return;
    if (clock === "corrected") this.#corrected += 1;
    if (clock === "unsynced") add(this.#unsynced, `${gateway}/${boot ?? ""}`);
  }

  told(gateway: string, boot: string): void {
    add(this.#told, `${gateway}/${boot}`);
  }

  summary(): ClockSummary {
    let unsynced = 0;
    let covered = 0;
    for (const [key, records] of this.#unsynced) {
      unsynced += records;
      if (this.#told.has(key)) covered += records;
    }
    return { corrected: this.#corrected, unsynced, covered, clockRecords: this.#told.size };
  }

  save(): SavedClocks {
    return {
      corrected: this.#corrected,
      unsynced: Object.fromEntries(this.#unsynced),
      told: Object.fromEntries(this.#told),
    };
  }
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
