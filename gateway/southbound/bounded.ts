import { TimeoutError } from "../core/driver.ts";
import { UnheededError } from "./headway.ts";
import type { Timers } from "./timers.ts";

export interface Bounds {
  /** When it aborts, so does the call's own signal, with the same reason. */
  readonly signal: AbortSignal;
  /** After this the call's signal aborts with a TimeoutError. */
  readonly limitMs: number;
  /** How long the call may take to settle once its signal aborted. */
  readonly graceMs: number;
  readonly timers: Timers;
}

/**
 * Calls a driver so that it settles in any case, at the latest `graceMs` after the limit or the abort; a driver that does
 * not give up by then counts as not connected, and whatever it says later is not heard. Leaves no timer and no listener.
 */
export function bounded<T>(call: (signal: AbortSignal) => Promise<T>, bounds: Bounds): Promise<T> {
  const { signal, limitMs, graceMs, timers } = bounds;
  return new Promise((resolve, reject) => {
    const own = new AbortController();
    const abort = (reason: unknown) => {
      cancel();
      cancel = timers.after(graceMs, () => {
        finish();
        reject(new UnheededError(reason));
      });
      own.abort(reason);
    };
    const onAbort = () => abort(signal.reason);
    const finish = () => {
      cancel();
      signal.removeEventListener("abort", onAbort);
    };
    let cancel = timers.after(limitMs, () => abort(new TimeoutError(`no answer within ${limitMs} ms`)));
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    start(call, own.signal).then(
      (value) => {
        finish();
        resolve(value);
      },
      (error: unknown) => {
        finish();
        reject(error);
      },
    );
  });
}

async function start<T>(call: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  return await call(signal);
}
