import type { Auditor } from "../core/audit.ts";

/**
 * So many entries of each kind in an hour; the rest are one entry with their number. Somebody who tries day and night leaves 21
 * entries an hour, and the trail holds 200,000.
 */
export const MOST_ACCEPTED = 60;
export const MOST_REFUSED = 20;
export const HOUR_MS = 3_600_000;
/** Users at addresses that are known to have been let in. */
const MOST_KNOWN = 10_000;
const MOST_ADDRESSES = 1_000;
const ACTION = "broker.login";
/** Refusals that say nothing of who it was: the client went away, or is to try again. */
const UNDECIDED = new Set(["gone", "busy"]);

interface Untold {
  count: number;
  readonly addresses: Set<string>;
  readonly reasons: Map<string, number>;
}

/**
 * Logins at the broker in the audit trail: a user at an address the first time that it is let in since the start, and refusals,
 * each of an address, a user and a reason once an hour. Both are bounded: whoever guesses cannot push other entries out of the trail.
 */
export class LoginTrail {
  readonly #audit: Auditor;
  readonly #monoMs: () => number;
  readonly #known = new Set<string>();
  readonly #seen = new Set<string>();
  #accepted = 0;
  #refused = 0;
  #untold: { readonly ok: Untold; readonly refused: Untold } = { ok: nothing(), refused: nothing() };
  #hourMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  /** `monoMs` gives monotonic milliseconds. */
  constructor(audit: Auditor, monoMs: () => number) {
    this.#audit = audit;
    this.#monoMs = monoMs;
  }

  /** Somebody was let in; `user` is undefined for a client without one. Never waits. */
  accepted(user: string | undefined, address: string): void {
    const key = JSON.stringify([user, address]);
    if (this.#known.has(key)) return;
    if (this.#known.size >= MOST_KNOWN) this.#known.clear();
    this.#known.add(key);
    this.#turn();
    if (++this.#accepted > MOST_ACCEPTED) {
      this.#count(this.#untold.ok, address, "let in");
      return;
    }
    const detail = "the first time from there since the start";
    void this.#audit.record({ actor: user ?? "anonymous", address, action: ACTION, outcome: "ok", detail });
  }

  /** Somebody was not. `user` is the name of one that there is: a password typed into the wrong field must not be kept. Never waits. */
  refused(user: string | undefined, address: string, reason: string): void {
    if (UNDECIDED.has(reason)) return;
    this.#turn();
    const key = JSON.stringify([user, address, reason]);
    const { refused } = this.#untold;
    if (this.#seen.has(key) || ++this.#refused > MOST_REFUSED) {
      this.#count(refused, address, reason);
      return;
    }
    this.#seen.add(key);
    const target = user === undefined ? {} : { target: user };
    void this.#audit.record({
      actor: "nobody",
      address,
      action: ACTION,
      ...target,
      outcome: "refused",
      detail: reason,
    });
  }

  /** Tells what was only counted. Idempotent, never rejects. */
  async end(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#tell();
  }

  /** A new hour, where the last one is over. */
  #turn(): void {
    const now = this.#monoMs();
    if (now - this.#hourMs < HOUR_MS) return;
    void this.#tell();
    this.#hourMs = now;
    this.#accepted = 0;
    this.#refused = 0;
    this.#seen.clear();
  }

  #count(untold: Untold, address: string, reason: string): void {
    untold.count++;
    if (untold.addresses.size < MOST_ADDRESSES) untold.addresses.add(address);
    untold.reasons.set(reason, (untold.reasons.get(reason) ?? 0) + 1);
    // Nobody may come any more: it is told all the same when the hour is over.
    this.#timer ??= setTimeout(
      () => {
        this.#timer = undefined;
        void this.#tell();
      },
      Math.max(0, this.#hourMs + HOUR_MS - this.#monoMs()),
    ).unref();
  }

  async #tell(): Promise<void> {
    const { ok, refused } = this.#untold;
    this.#untold = { ok: nothing(), refused: nothing() };
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (ok.count > 0)
      await this.#audit.record({ actor: "gateway", action: ACTION, outcome: "ok", detail: described(ok) });
    if (refused.count > 0)
      await this.#audit.record({ actor: "nobody", action: ACTION, outcome: "refused", detail: described(refused) });
  }
}

function nothing(): Untold {
  return { count: 0, addresses: new Set(), reasons: new Map() };
}

function described({ count, addresses, reasons }: Untold): string {
  const whole = addresses.size < MOST_ADDRESSES ? `${addresses.size}` : `${MOST_ADDRESSES} or more`;
  const why = [...reasons].map(([reason, times]) => `${reason} ${times}`).join(", ");
  return `${count} more from ${whole} ${addresses.size === 1 ? "address" : "addresses"}, not written one by one: ${why}`;
}
