import { monotonicMs } from "../pause.ts";

/** A connection that ended sooner than this speaks against its server. */
const STABLE_MS = 30_000;
/** Such a server is tried last for so long. */
const DEMOTED_MS = 300_000;

/** The servers of one uplink, the best first. Outlives connections. */
export class ServerList {
  readonly #urls: readonly string[];
  readonly #demotedAt = new Map<string, number>();

  /** @param urls in the order of the configuration. */
  constructor(urls: readonly string[]) {
    this.#urls = urls;
  }

  get several(): boolean {
    return this.#urls.length > 1;
  }

  /** In the order in which they are to be tried now. */
  order(nowMs = monotonicMs()): readonly string[] {
    const demoted = (url: string) => nowMs - (this.#demotedAt.get(url) ?? Number.NEGATIVE_INFINITY) < DEMOTED_MS;
    return [...this.#urls.filter((url) => !demoted(url)), ...this.#urls.filter(demoted)];
  }

  /** A connection ended by itself. */
  lost(url: string, lastedMs: number, nowMs = monotonicMs()): void {
    if (this.several && lastedMs < STABLE_MS) this.#demotedAt.set(url, nowMs);
    else this.#demotedAt.delete(url);
  }

  /** Those that are better than the one in use. */
  betterThan(url: string, nowMs = monotonicMs()): readonly string[] {
    const order = this.order(nowMs);
    return order.slice(0, Math.max(0, order.indexOf(url)));
  }
}

/** While connected to another server than the best: looks whether a better one can be reached again. */
export class FailBack {
  readonly #tryOne: (url: string) => Promise<void>;
  readonly #better: () => readonly string[];
  readonly #back: (url: string) => void;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  /** @param tryOne rejects when the server cannot be reached; `back` is called once with one that can. */
  constructor(better: () => readonly string[], tryOne: (url: string) => Promise<void>, back: (url: string) => void) {
    this.#better = better;
    this.#tryOne = tryOne;
    this.#back = back;
  }

  start(everyMs: number): void {
    this.#timer = setInterval(() => {
      this.#running ??= this.#look().finally(() => {
        this.#running = undefined;
      });
    }, everyMs);
  }

  /** Idempotent, never rejects. The caller aborts what `tryOne` does. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#running;
  }

  async #look(): Promise<void> {
    for (const url of this.#better()) {
      try {
        await this.#tryOne(url);
      } catch {
        continue;
      }
      if (!this.#stopped) this.#back(url);
      return;
    }
  }
}
