const FREE_FAILURES = 5;
const FIRST_LOCK_MS = 30_000;
const MOST_LOCK_MS = 15 * 60_000;
/** Failures are forgotten when nothing happened for so long. */
const FORGET_MS = 60 * 60_000;
const WINDOW_MS = 60_000;
/** Failed checks of one address in a window. */
export const MAX_CHECKS = 10;
const MAX_ENTRIES = 10_000;

interface Failures {
  count: number;
  lockedUntil: number;
  last: number;
}

/**
 * Remembers failed logins: by user and address, which are locked for 30 s after five and twice as long after each more, up to a
 * quarter of an hour; and by address, which has so many checks a minute. Nothing is ever locked for all addresses.
 * Times are monotonic milliseconds.
 */
export class Lockout {
  readonly #failures = new Map<string, Failures>();
  readonly #checks = new Map<string, number[]>();

  /** How long no password of this user is looked at from this address; 0 when one may be. */
  lockedFor(user: string, address: string, now: number): number {
    const known = this.#failures.get(keyOf(user, address));
    return Math.max(0, (known?.lockedUntil ?? 0) - now);
  }

  /** How long no password at all is looked at from this address. */
  spentFor(address: string, now: number): number {
    const checks = this.#recent(address, now);
    return checks.length < MAX_CHECKS ? 0 : (checks[0] ?? now) + WINDOW_MS - now;
  }

  /** Whether a login from there failed within the last minute. */
  isSuspect(address: string, now: number): boolean {
    return this.#recent(address, now).length > 0;
  }

  /** A password was wrong. @returns how long it is locked now. */
  failed(user: string, address: string, now: number): number {
    const checks = this.#recent(address, now);
    checks.push(now);
    put(this.#checks, address, checks);
    const key = keyOf(user, address);
    const known = this.#failures.get(key);
    const failures = known && now - known.last < FORGET_MS ? known : { count: 0, lockedUntil: 0, last: now };
    failures.count += 1;
    failures.last = now;
    const beyond = failures.count - FREE_FAILURES;
    const lockMs = beyond < 0 ? 0 : Math.min(MOST_LOCK_MS, FIRST_LOCK_MS * 2 ** Math.min(beyond, 10));
    failures.lockedUntil = now + lockMs;
    put(this.#failures, key, failures);
    return lockMs;
  }

  passed(user: string, address: string): void {
    this.#failures.delete(keyOf(user, address));
  }

  #recent(address: string, now: number): number[] {
    const checks = this.#checks.get(address);
    if (!checks) return [];
    while ((checks[0] ?? now) <= now - WINDOW_MS) checks.shift();
    if (checks.length === 0) this.#checks.delete(address);
    return checks;
  }
}

function keyOf(user: string, address: string): string {
  return `${address} ${user.slice(0, 256)}`;
}

/** As the newest entry; the oldest makes room. */
function put<T>(entries: Map<string, T>, key: string, value: T): void {
  entries.delete(key);
  if (entries.size >= MAX_ENTRIES) {
    const oldest = entries.keys().next();
    if (!oldest.done) entries.delete(oldest.value);
  }
  entries.set(key, value);
}
