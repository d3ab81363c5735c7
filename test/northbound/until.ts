import { vi } from "vitest";

/** Waits until the expectation holds, looking often. */
export function until(expectation: () => void, timeout = 5000): Promise<void> {
  return vi.waitFor(expectation, { timeout, interval: 4 });
}
