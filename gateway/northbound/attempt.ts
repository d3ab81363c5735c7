import { NotConnectedError } from "../core/errors.ts";
import { formatDuration } from "../core/options/units.ts";

/** One try to connect: over when it succeeds or fails, when its time is up, when it is cancelled, or with the signal of who asked. */
export class Attempt {
  readonly #abort = new AbortController();

  /** Ends it with this error. */
  cancel(error: Error): void {
    this.#abort.abort(error);
  }

  /** What `open` gives. `place` is for the message. @throws what ended it early, or what `open` throws; it is to free what it has when its signal is aborted. */
  async run<T>(
    open: (signal: AbortSignal) => Promise<T>,
    { timeoutMs, place }: { readonly timeoutMs: number; readonly place: string },
    signal: AbortSignal,
  ): Promise<T> {
    const mine = this.#abort;
    const cancel = () => mine.abort(signal.reason);
    signal.addEventListener("abort", cancel, { once: true });
    const late = new NotConnectedError(`${place}: no connection within ${formatDuration(timeoutMs)}`);
    const timer = setTimeout(() => mine.abort(late), timeoutMs);
    try {
      return await open(mine.signal);
    } catch (error) {
      if (mine.signal.aborted) throw mine.signal.reason;
      throw error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", cancel);
    }
  }
}
