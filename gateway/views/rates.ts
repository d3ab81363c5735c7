const SECONDS = 120;
/** What "now" is averaged over. */
const RECENT = 5;

/** Records in and out per second, over the last two minutes. */
export class Rates {
  readonly #look: () => { readonly taken: number; readonly settled: number };
  readonly #in: number[] = [];
  readonly #out: number[] = [];
  #last: { readonly taken: number; readonly settled: number } | undefined;
  #lastMs = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `look` gives counts that only rise. */
  constructor(look: () => { readonly taken: number; readonly settled: number }) {
    this.#look = look;
  }

  /** Does nothing when it is started. */
  start(): void {
    this.#timer ??= setInterval(() => this.tick(performance.now()), 1_000).unref();
  }

  /** Idempotent. */
  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  tick(nowMs: number): void {
    const now = this.#look();
    const seconds = (nowMs - this.#lastMs) / 1000;
    if (this.#last && seconds > 0) {
      push(this.#in, (now.taken - this.#last.taken) / seconds);
      push(this.#out, (now.settled - this.#last.settled) / seconds);
    }
    this.#last = now;
    this.#lastMs = nowMs;
  }

  view() {
    return {
      inPerSecond: mean(this.#in.slice(-RECENT)),
      outPerSecond: mean(this.#out.slice(-RECENT)),
      historyIn: [...this.#in],
      historyOut: [...this.#out],
    };
  }
}

function push(row: number[], value: number): void {
  row.push(Number(Math.max(0, value).toFixed(2)));
  if (row.length > SECONDS) row.shift();
}

function mean(values: readonly number[]): number {
  if (values.length === 0) return 0;
  return Number((values.reduce((sum, value) => sum + value, 0) / values.length).toFixed(2));
}
