import { setTimeout as sleep } from "node:timers/promises";

/** Resolves after `ms` or when aborted, whichever is first. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch {
    // Aborted: nobody waits any more.
  }
}
