import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { PasswordWorker } from "./password-worker.ts";

/** Checks that may wait for their turn. */
const MAX_WAITING = 200;
const MAX_KNOWN = 1000;
/** Of nobody: an unknown user takes as long as a known one. */
const NOBODY = `scrypt:14:8:2:${"A".repeat(22)}:${"A".repeat(43)}`;

export interface Question {
  readonly password: Buffer;
  /** With none the answer is no, after the same time. */
  readonly hash: string | undefined;
  /** Whether a login from there failed lately. */
  readonly isSuspect: boolean;
  /** Whether nobody waits for the answer any more. */
  isGone(): boolean;
}

/**
 * Checks passwords one after the other: those from unsuspicious addresses first, and of these the newest, so that a crowd of
 * strangers makes nobody wait. One that was right is known again without the work: a shop floor comes back after a power cut
 * all at once.
 */
export class PasswordChecks {
  readonly #key = randomBytes(32);
  /** By hash; a keyed digest of the password that fits it. */
  readonly #right = new Map<string, Buffer>();
  readonly #worker = new PasswordWorker();
  readonly #first: (() => void)[] = [];
  readonly #later: (() => void)[] = [];
  #isBusy = false;

  /** Whether this very password was found right for the hash before. */
  isKnown(password: Buffer, hash: string): boolean {
    const known = this.#right.get(hash);
    return known !== undefined && timingSafeEqual(known, this.#digest(password));
  }

  /** Undefined when it was not checked: too many wait, or nobody does any more. @throws Error when checking failed. */
  async check({ password, hash, isSuspect, isGone }: Question): Promise<boolean | undefined> {
    if (!(await this.#turn(isSuspect))) return undefined;
    try {
      if (isGone()) return undefined;
      const isRight = await this.#worker.isPassword(password, hash ?? NOBODY);
      if (!isRight || hash === undefined) return false;
      if (this.#right.size >= MAX_KNOWN) this.#right.clear();
      this.#right.set(hash, this.#digest(password));
      return true;
    } finally {
      const next = this.#first.pop() ?? this.#later.shift();
      if (next) next();
      else this.#isBusy = false;
    }
  }

  end(): Promise<void> {
    return this.#worker.end();
  }

  /** False when too many wait. */
  async #turn(isSuspect: boolean): Promise<boolean> {
    if (!this.#isBusy) {
      this.#isBusy = true;
      return true;
    }
    const line = isSuspect ? this.#later : this.#first;
    if (line.length >= MAX_WAITING) return false;
    await new Promise<void>((resolve) => line.push(resolve));
    return true;
  }

  #digest(password: Buffer): Buffer {
    return createHmac("sha256", this.#key).update(password).digest();
  }
}
