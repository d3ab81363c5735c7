import type { Outgoing, Verdict } from "../../core/uplink.ts";

/** One PUBLISH without its PUBACK. */
export interface Flight {
  readonly message: Outgoing;
  readonly index: number;
  readonly verdict: (index: number, v: Verdict) => void;
  readonly sentMs: number;
}

const MAX_ID = 65_535;

/** What is in flight, by packet identifier. An identifier is not given again before its PUBACK [MQTT-2.2.1-3]. */
export class Flights {
  /** In order of sending. */
  readonly #byId = new Map<number, Flight>();
  #lastId = 0;

  get size(): number {
    return this.#byId.size;
  }

  /** A free identifier; the caller keeps fewer than 65,535 in flight. */
  freeId(): number {
    do {
      this.#lastId = this.#lastId === MAX_ID ? 1 : this.#lastId + 1;
    } while (this.#byId.has(this.#lastId));
    return this.#lastId;
  }

  add(id: number, flight: Flight): void {
    this.#byId.set(id, flight);
  }

  /** Undefined for an identifier that is not in flight: answered before, or never sent. */
  take(id: number): Flight | undefined {
    const flight = this.#byId.get(id);
    if (flight !== undefined) this.#byId.delete(id);
    return flight;
  }

  /** When the oldest was sent; undefined when there is none. */
  oldestMs(): number | undefined {
    for (const flight of this.#byId.values()) return flight.sentMs;
    return undefined;
  }

  takeAll(): Flight[] {
    const all = [...this.#byId.values()];
    this.#byId.clear();
    return all;
  }
}
