import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Found } from "./ledger.ts";
import { root } from "./processes.ts";

export type Looked = (Found & { readonly again?: Found }) | { readonly error: string };

/** Opens stores in a child, so that a store that ends the process shows as a failure of that store alone. */
export class StoreChecker {
  #child: ChildProcessWithoutNullStreams | undefined;
  #answer: ((looked: Looked) => void) | undefined;
  readonly #scratch = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "millrace-check-"));
  #copies = 0;
  /** One at a time. */
  #last: Promise<unknown> = Promise.resolve();

  /** A folder to make a store in, on memory. */
  folder(): string {
    return join(this.#scratch, `store-${++this.#copies}`);
  }

  /** Looks into a copy, which is removed; the store itself is not touched. */
  async lookAtCopy(dataDir: string, again = false): Promise<Looked> {
    const copy = this.folder();
    cpSync(dataDir, copy, { recursive: true });
    const looked = await this.look(copy, again);
    rmSync(copy, { recursive: true, force: true });
    return looked;
  }

  /** Looks into a store, and with `again` a second time: both change it. */
  look(dir: string, again = false): Promise<Looked> {
    const mine = this.#last.then(() => {
      const child = this.#running();
      return new Promise<Looked>((resolve) => {
        this.#answer = resolve;
        child.stdin.write(`${JSON.stringify({ dir, again })}\n`);
      });
    });
    this.#last = mine;
    return mine;
  }

  close(): void {
    this.#answer = undefined;
    this.#child?.kill("SIGKILL");
    rmSync(this.#scratch, { recursive: true, force: true });
  }

  #running(): ChildProcessWithoutNullStreams {
    if (this.#child) return this.#child;
    const child = spawn(process.execPath, [join(root, "test", "faults", "programs", "queue-check.mjs")]);
    this.#child = child;
    let complaint = "";
    child.stderr.on("data", (bytes: Buffer) => {
      complaint = (complaint + bytes.toString()).slice(-2000);
    });
    child.stdin.on("error", () => {});
    createInterface({ input: child.stdout }).on("line", (line) => this.#answer?.(JSON.parse(line) as Looked));
    child.on("exit", (code, signal) => {
      this.#child = undefined;
      this.#answer?.({ error: `the process ended with ${signal ?? code}: ${complaint}` });
    });
    return child;
  }
}
