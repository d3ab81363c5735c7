import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { vi } from "vitest";

/** Two ends of a serial line made of pseudo-terminals. */
export interface PtyPair {
  readonly a: string;
  readonly b: string;
  /** Pulls the cable out: both ends are gone. Idempotent. */
  stop(): Promise<void>;
}

export async function ptyPair(): Promise<PtyPair> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-pty-"));
  const a = join(folder, "a");
  const b = join(folder, "b");
  const socat = spawn("socat", [`pty,raw,echo=0,link=${a}`, `pty,raw,echo=0,link=${b}`], { stdio: "ignore" });
  const ended = once(socat, "exit");
  await vi.waitFor(() => {
    if (!existsSync(a) || !existsSync(b)) throw new Error("socat has not made its ends yet");
  }, 5000);
  return {
    a,
    b,
    async stop() {
      socat.kill();
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
