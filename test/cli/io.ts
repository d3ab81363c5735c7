import { readFileSync } from "node:fs";
import type { CliIo } from "../../gateway/cli/io.ts";

export interface TestIo extends CliIo {
  stdout(): string;
  stderr(): string;
  /** As Ctrl-C does. */
  abort(): void;
}

/** A command's world: what it writes is kept; `argv1` may be any program. */
export function testIo(over: Partial<CliIo> = {}): TestIo {
  const controller = new AbortController();
  const texts = { out: "", err: "" };
  return {
    out: (text) => {
      texts.out += text;
    },
    err: (text) => {
      texts.err += text;
    },
    tty: false,
    columns: 80,
    signal: controller.signal,
    env: {},
    execPath: process.execPath,
    argv1: "",
    cwd: process.cwd(),
    ...over,
    stdout: () => texts.out,
    stderr: () => texts.err,
    abort: () => controller.abort(),
  };
}

/** Whether a process is running: there, and not a zombie. */
export function isRunning(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
