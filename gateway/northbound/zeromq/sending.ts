import type { Outgoing, Verdict } from "../../core/uplink.ts";

/** How one pattern sends over one connection. */
export interface Sending {
  /** As `Uplink.send` says. */
  send(batch: readonly Outgoing[], verdict: (index: number, v: Verdict) => void, signal: AbortSignal): Promise<void>;
  /** The connection is gone. Gives back what is in flight. */
  ended(error: Error): void;
}
