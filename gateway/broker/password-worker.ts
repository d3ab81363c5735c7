import { Worker } from "node:worker_threads";
import { parsePasswordHash } from "../core/password-hash.ts";

/**
 * Text of the thread's program: the memory of a hash is then that of one thread. In the pool every thread would come to hold it,
 * a quarter of a gigabyte in all.
 */
const PROGRAM = `
const { parentPort } = require("node:worker_threads");
const { scryptSync, timingSafeEqual } = require("node:crypto");
parentPort.on("message", ({ password, salt, key, N, r, p }) => {
  const made = scryptSync(password, Buffer.from(salt, "base64url"), Buffer.from(key, "base64url").length,
    { N, r, p, maxmem: 128 * r * (N + p) + 1048576 });
  parentPort.postMessage(timingSafeEqual(made, Buffer.from(key, "base64url")));
});
`;
/** An idle thread is ended: logins are rare. */
const IDLE_MS = 10_000;

/** Compares passwords with hashes in a thread of its own, one at a time: do not ask again before the answer. */
export class PasswordWorker {
  #worker: Worker | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;

  /** False where `text` is no hash. @throws Error when the thread failed, or was ended. */
  async isPassword(password: Buffer, text: string): Promise<boolean> {
    const hash = parsePasswordHash(text);
    if (!hash) return false;
    clearTimeout(this.#idle);
    this.#worker ??= new Worker(PROGRAM, { eval: true });
    const worker = this.#worker;
    const { logN, r, p, salt, key } = hash;
    try {
      return await new Promise<boolean>((resolve, reject) => {
        worker.once("message", resolve);
        worker.once("error", reject);
        worker.once("exit", () => reject(new Error("the thread that checks passwords ended")));
        worker.postMessage({ password, salt, key, N: 2 ** logN, r, p });
      });
    } catch (error) {
      this.#worker = undefined;
      throw error;
    } finally {
      for (const event of ["message", "error", "exit"]) worker.removeAllListeners(event);
      worker.on("error", () => {});
      this.#idle = setTimeout(() => void this.end(), IDLE_MS);
      this.#idle.unref();
    }
  }

  /** Ends the thread; it is made again when it is needed. Idempotent, never rejects. */
  async end(): Promise<void> {
    clearTimeout(this.#idle);
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}
