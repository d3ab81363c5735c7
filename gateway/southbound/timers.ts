/** Where waiting comes from, so that tests own the time. */
export interface Timers {
  /** Calls `run` once, not before `delayMs` is over. @returns what cancels it; harmless when it has run. */
  after(delayMs: number, run: () => void): () => void;
}

export const systemTimers: Timers = {
  after(delayMs, run) {
    const timer = setTimeout(run, Math.ceil(delayMs));
    return () => clearTimeout(timer);
  },
};

/** Resolves when the time is over or the signal aborts, whichever is first. Never rejects. */
export function sleep(delayMs: number, signal: AbortSignal, timers: Timers): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      cancel();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const cancel = timers.after(delayMs, done);
    signal.addEventListener("abort", done);
  });
}
