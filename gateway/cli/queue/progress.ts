import type { CliIo } from "../io.ts";

const SHOW_MS = 200;

/** A line on stderr that is written over itself; nothing where stderr is no terminal. */
export class Progress {
  readonly #io: CliIo;
  readonly #unit: (amount: number) => string;
  readonly #startedMs = performance.now();
  #shownMs = Number.NEGATIVE_INFINITY;
  #shown = false;

  constructor(io: CliIo, unit: (amount: number) => string = (amount) => amount.toLocaleString("en-US")) {
    this.#io = io;
    this.#unit = unit;
  }

  at(done: number, total: number): void {
    const now = performance.now();
    if (this.#io.errTty !== true || now - this.#shownMs < SHOW_MS) return;
    this.#shownMs = now;
    this.#shown = true;
    this.#io.err(`\r\x1b[K${progressText(done, total, (now - this.#startedMs) / 1000, this.#unit)}`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#shown) this.#io.err("\r\x1b[K");
    this.#shown = false;
  }
}

/** `12,345 of 300,000 (4 %), 1 m left`; `total` is an estimate. */
export function progressText(done: number, total: number, seconds: number, unit: (amount: number) => string): string {
  const all = Math.max(done, total);
  const share = all === 0 ? 1 : done / all;
  const head = `${unit(done)} of ${unit(all)} (${Math.floor(share * 100)} %)`;
  if (share === 0 || seconds < 1) return head;
  const left = (seconds / share) * (1 - share);
  return `${head}, ${left < 90 ? `${Math.ceil(left)} s` : `${Math.round(left / 60)} m`} left`;
}
