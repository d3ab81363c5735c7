import { setTimeout as sleep } from "node:timers/promises";

/** Waits `ms`, or less when the signal aborts. Never rejects. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  try {
    await sleep(ms, undefined, { signal });
  } catch {
    // Aborted: the caller looks at its signal.
  }
}

/** Resolves when one of the signals aborts, and leaves no listener on the other. */
export function firstAborted(one: AbortSignal, other: AbortSignal): Promise<void> {
  if (one.aborted || other.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      one.removeEventListener("abort", done);
      other.removeEventListener("abort", done);
      resolve();
    };
    one.addEventListener("abort", done);
    other.addEventListener("abort", done);
  });
}

/** Monotonic milliseconds, for intervals. */
export function monotonicMs(): number {
  return performance.now();
}

/** Waits for the promise, but no longer than `ms`. */
export async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  try {
    await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
