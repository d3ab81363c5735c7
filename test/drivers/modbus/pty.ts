import { openPtyPair } from "../../../gateway/cli/demo/pty-pair.ts";

/** Two ends of a serial line made of pseudo-terminals. */
export interface PtyPair {
  readonly a: string;
  readonly b: string;
  /** Pulls the cable out: both ends are gone. Idempotent. */
  stop(): Promise<void>;
}

/** The demo's own: it needs nothing but the perl-base that every Debian has. */
export async function ptyPair(): Promise<PtyPair> {
  const pair = await openPtyPair();
  if (!pair) throw new Error("no pseudo-terminals: neither perl nor socat is there (apt-get install perl-base)");
  return { a: pair.left, b: pair.right, stop: () => pair.close() };
}
