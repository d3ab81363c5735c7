interface Waiting {
  readonly places: number;
  readonly enter: () => void;
}

/** Lets so many in at once, in the order in which they came; who takes all places is alone. */
export class Gate {
  readonly places: number;
  #free: number;
  readonly #waiting: Waiting[] = [];

  constructor(places: number) {
    this.places = places;
    this.#free = places;
  }

  /** One place, where one is free and nobody waits. @returns what gives it back, once. */
  enterNow(): (() => void) | undefined {
    if (this.#waiting.length > 0 || this.#free === 0) return undefined;
    this.#free--;
    return () => this.#leave(1);
  }

  /** @returns what gives the places back, once. @throws signal.reason when aborted while waiting. */
  async enter(places: number, signal: AbortSignal): Promise<() => void> {
    if (this.#waiting.length > 0 || this.#free < places) await this.#wait(places, signal);
    else this.#free -= places;
    return () => this.#leave(places);
  }

  #leave(places: number): void {
    this.#free += places;
    this.#next();
  }

  #wait(places: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(signal.reason);
        this.#next();
      };
      const enter = () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      const waiting = { places, enter };
      this.#waiting.push(waiting);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  #next(): void {
    for (let first = this.#waiting[0]; first && first.places <= this.#free; first = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= first.places;
      first.enter();
    }
  }
}
