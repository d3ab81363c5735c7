import { TimeoutError } from "../core/driver.ts";
import { type Headway, UnheededError } from "./headway.ts";
import type { Timers } from "./timers.ts";

export interface CallsParts {
  /** When it aborts, so do the signals of all calls, with the same reason. */
  readonly signal: AbortSignal;
  /** How long a call may take to settle once its signal aborted. */
  readonly graceMs: number;
  readonly timers: Timers;
  /** Told when calls begin and end. */
  readonly headway?: Headway;
}

/**
 * Calls of a driver on one connection, each of which settles in any case: what `bounded` does, for calls that come by the
 * thousand a second. An abort controller costs more than a question on the wire, so that one which was not aborted serves
 * the next call.
 */
export class Calls {
  readonly #parts: CallsParts;
  readonly #active = new Set<(reason: unknown) => void>();
  readonly #free: AbortController[] = [];

  constructor(parts: CallsParts) {
    this.#parts = parts;
    const { signal } = parts;
    const onAbort = () => {
      for (const abort of [...this.#active]) abort(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
  }

  /**
   * Calls back once, never before it returns, as the call ends. After `limitMs` the call's signal aborts with a TimeoutError; a
   * call that does not settle within `graceMs` after that or another abort counts as not connected, and whatever it says later
   * is not heard.
   */
  start<T>(
    limitMs: number,
    call: (signal: AbortSignal) => Promise<T>,
    done: (value: T) => void,
    failed: (error: unknown) => void,
  ): void {
    const { signal, graceMs, timers, headway } = this.#parts;
    if (signal.aborted) {
      Promise.reject(signal.reason).catch(failed);
      return;
    }
    const own = this.#free.pop() ?? new AbortController();
    let heard = true;
    headway?.begun();
    const abort = (reason: unknown) => {
      cancel();
      cancel = timers.after(graceMs, () => {
        this.#active.delete(abort);
        heard = false;
        headway?.abandoned();
        failed(new UnheededError(reason));
      });
      own.abort(reason);
    };
    const isHeard = () => {
      cancel();
      this.#active.delete(abort);
      if (!own.signal.aborted) this.#free.push(own);
      if (heard) headway?.ended();
      return heard;
    };
    let cancel = timers.after(limitMs, () => abort(new TimeoutError(`no answer within ${limitMs} ms`)));
    this.#active.add(abort);
    begin(call, own.signal).then(
      (value) => {
        if (isHeard()) done(value);
      },
      (error: unknown) => {
        if (isHeard()) failed(error);
      },
    );
  }

  /** The same as a promise. */
  run<T>(limitMs: number, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.start(limitMs, call, resolve, reject);
    });
  }
}

/** What a driver throws at once is a rejection too. */
function begin<T>(call: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return call(signal);
  } catch (error) {
    return Promise.reject(error);
  }
}
