import type { Downlink, Incoming, Taken } from "../core/uplink.ts";

/** @param became what became of the message; undefined where it was given up, and the sender has to give it again. */
type Done = (became: Taken | undefined) => void;

interface Waiting {
  readonly message: Incoming;
  readonly done: Done;
}

/**
 * Hands over what comes down, several at once. What cannot be kept is tried again, and what comes after it under the same topic waits
 * behind it: the order of a topic is that of its sender.
 */
export class InOrder {
  readonly #downlink: Downlink;
  readonly #againMs: number;
  readonly #onFailed: (message: Incoming, error: unknown) => void;
  readonly #waiting = new Map<string, Waiting[]>();
  #timer: NodeJS.Timeout | undefined;
  #trying = false;
  #ended = false;

  /** @param onFailed told each time that a message could not be kept. */
  constructor(downlink: Downlink, againMs: number, onFailed: (message: Incoming, error: unknown) => void) {
    this.#downlink = downlink;
    this.#againMs = againMs;
    this.#onFailed = onFailed;
  }

  take(message: Incoming, done: Done): void {
    const before = this.#waiting.get(message.topic);
    if (before !== undefined) {
      before.push({ message, done });
      return;
    }
    this.#downlink.take(message).then(done, (error: unknown) => {
      this.#onFailed(message, error);
      this.#wait({ message, done });
    });
  }

  /** Nothing is tried again: what waits is given up, and what fails from now on. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    const waiting = [...this.#waiting.values()].flat();
    this.#waiting.clear();
    for (const { done } of waiting) done(undefined);
  }

  #wait(one: Waiting): void {
    if (this.#ended) {
      one.done(undefined);
      return;
    }
    const { topic } = one.message;
    const list = this.#waiting.get(topic) ?? [];
    if (list.length === 0) this.#waiting.set(topic, list);
    list.push(one);
    if (!this.#trying) this.#timer ??= setTimeout(() => void this.#again(), this.#againMs);
  }

  /** Never rejects. */
  async #again(): Promise<void> {
    this.#timer = undefined;
    this.#trying = true;
    for (const [topic, list] of this.#waiting) {
      for (let first = list[0]; first !== undefined && !this.#ended; first = list[0]) {
        const became = await this.#taken(first.message);
        // Given up meanwhile.
        if (this.#ended || became === undefined) break;
        list.shift();
        first.done(became);
      }
      if (list.length === 0) this.#waiting.delete(topic);
    }
    this.#trying = false;
    if (!this.#ended && this.#waiting.size > 0) this.#timer = setTimeout(() => void this.#again(), this.#againMs);
  }

  async #taken(message: Incoming): Promise<Taken | undefined> {
    try {
      return await this.#downlink.take(message);
    } catch (error) {
      this.#onFailed(message, error);
      return undefined;
    }
  }
}
