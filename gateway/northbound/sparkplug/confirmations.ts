import type { Verdict } from "../../core/uplink.ts";

/** What was published together, and who waits to hear that the server has it. */
export interface Held {
  /** Messages of QoS 1 without an answer. */
  left: number;
  readonly sentMs: number;
  readonly settled: ((verdict: Verdict) => void) | undefined;
  verdict?: Verdict;
}

const MAX_ID = 65_535;

/** Everything that was published and that the server has not confirmed. */
export class Confirmations {
  /** Of QoS 0: since the last question, and before it. */
  #unasked: Held[] = [];
  #asked: Held[] = [];
  /** Of QoS 1, by packet identifier. */
  readonly #byId = new Map<number, Held>();
  #lastId = 1;
  #empty: (() => void) | undefined;

  get size(): number {
    return this.#unasked.length + this.#asked.length + this.#byId.size;
  }
  get unasked(): number {
    return this.#unasked.length;
  }

  /** Of QoS 0 alone. */
  add(held: Held): void {
    this.#unasked.push(held);
  }

  /** A packet identifier for one message of it; never 1, which is the subscription's. */
  number(held: Held): number {
    do {
      this.#lastId = this.#lastId >= MAX_ID ? 2 : this.#lastId + 1;
    } while (this.#byId.has(this.#lastId));
    this.#byId.set(this.#lastId, held);
    held.left++;
    return this.#lastId;
  }

  /** Undefined for an identifier that is not in flight. */
  take(id: number): Held | undefined {
    const held = this.#byId.get(id);
    this.#byId.delete(id);
    this.#tell();
    return held;
  }

  /** The server was asked whether it has what was published until now. */
  asked(): void {
    this.#asked = this.#asked.concat(this.#unasked);
    this.#unasked = [];
  }

  /** It has. */
  answered(): readonly Held[] {
    const all = this.#asked;
    this.#asked = [];
    this.#tell();
    return all;
  }

  oldestMs(): number | undefined {
    const [first] = this.#byId.values();
    const times = [first, this.#asked[0], this.#unasked[0]].flatMap((held) => (held ? [held.sentMs] : []));
    return times.length === 0 ? undefined : Math.min(...times);
  }

  takeAll(): Held[] {
    const all = [...new Set([...this.#asked, ...this.#unasked, ...this.#byId.values()])];
    this.#asked = [];
    this.#unasked = [];
    this.#byId.clear();
    this.#tell();
    return all;
  }

  /** Resolves when nothing is unconfirmed any more, or after so many milliseconds. */
  async untilEmpty(ms: number): Promise<void> {
    if (this.size === 0) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#empty = resolve;
      timer = setTimeout(resolve, ms);
    });
    clearTimeout(timer);
    this.#empty = undefined;
  }

  #tell(): void {
    if (this.size === 0) this.#empty?.();
  }
}
