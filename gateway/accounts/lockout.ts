/** Failures until the first lock, its length, and the longest. */
const FREE = 5;
const FIRST_MS = 30_000;
const MOST_MS = 15 * 60_000;
/** An address that tries many names is locked out as such. */
const FREE_OF_ADDRESS = 30;
/** A failure is forgotten after so long without another. */
const FORGET_MS = 3_600_000;
const MOST_KEYS = 10_000;

interface Failures {
  count: number;
  lockedUntilMs: number;
  lastMs: number;
}

/**
 * Who tried too often: locked by user and address together, 30 s · 2^n and at most 15 minutes, so that nobody can lock out
 * somebody else from elsewhere. An address with many failures, over any names, is locked as a whole.
 */
export class Lockout {
  readonly #now: () => number;
  readonly #failures = new Map<string, Failures>();

  /** `now` gives monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Milliseconds for which nothing is tried; 0 when it may be. */
  lockedMs(user: string, address: string): number {
    const untilMs = Math.max(this.#lockOf(pairOf(user, address)), this.#lockOf(networkOf(address)));
    return Math.max(0, untilMs - this.#now());
  }

  /** Where a user is locked out at present, and for how many milliseconds yet. */
  locksOf(user: string): { readonly address: string; readonly forMs: number }[] {
    const now = this.#now();
    const ending = ` ${user.toLowerCase()}`;
    return [...this.#failures]
      .filter(([key, { lockedUntilMs }]) => lockedUntilMs > now && key.endsWith(ending))
      .map(([key, { lockedUntilMs }]) => ({ address: key.slice(0, -ending.length), forMs: lockedUntilMs - now }));
  }

  /** A failed attempt. Gives the milliseconds it is locked for from now on, 0 while attempts are free. */
  failed(user: string, address: string): number {
    const pairMs = this.#count(pairOf(user, address), FREE);
    // Behind a proxy on this machine everybody comes from here.
    return isLoopback(address) ? pairMs : Math.max(pairMs, this.#count(networkOf(address), FREE_OF_ADDRESS));
  }

  /** Clears the pair; the address keeps its count, else one good account would pay for many attempts on others. */
  succeeded(user: string, address: string): void {
    this.#failures.delete(pairOf(user, address));
  }

  /** Lets a user try again from everywhere, as if nothing had failed; the counts of whole addresses stay. Gives how many locks that opened. */
  release(user: string): number {
    const locks = this.locksOf(user);
    for (const key of this.#failures.keys()) if (key.endsWith(` ${user.toLowerCase()}`)) this.#failures.delete(key);
    return locks.length;
  }

  #lockOf(key: string): number {
    return this.#failures.get(key)?.lockedUntilMs ?? 0;
  }

  #count(key: string, free: number): number {
    const now = this.#now();
    const known = this.#failures.get(key);
    const found = known && now - known.lastMs < FORGET_MS ? known : { count: 0, lockedUntilMs: 0, lastMs: now };
    found.count++;
    found.lastMs = now;
    // The one touched last stands last.
    this.#failures.delete(key);
    this.#failures.set(key, found);
    if (this.#failures.size > MOST_KEYS) this.#forget();
    if (found.count < free) return 0;
    const lockMs = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(10, found.count - free));
    found.lockedUntilMs = now + lockMs;
    return lockMs;
  }

  /** The oldest one that is not locked, or else the oldest. */
  #forget(): void {
    const now = this.#now();
    let first: string | undefined;
    for (const [key, { lockedUntilMs }] of this.#failures) {
      first ??= key;
      if (lockedUntilMs <= now) {
        this.#failures.delete(key);
        return;
      }
    }
    if (first !== undefined) this.#failures.delete(first);
  }
}

function isLoopback(address: string): boolean {
  return address === "::1" || address.startsWith("127.");
}

function pairOf(user: string, address: string): string {
  return `${networkOf(address)} ${user.toLowerCase()}`;
}

/** A host of IPv6 has a whole /64 of addresses. */
function networkOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, "").replace(/%.*$/, "");
  if (!plain.includes(":")) return plain;
  const [head = "", tail] = plain.split("::");
  const groups = head === "" ? [] : head.split(":");
  const behind = tail === undefined || tail === "" ? [] : tail.split(":");
  const all =
    tail === undefined ? groups : [...groups, ...Array(8 - groups.length - behind.length).fill("0"), ...behind];
  return `${all.slice(0, 4).join(":")}::/64`;
}
