import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Role } from "./roles.ts";

const MOST_PER_USER = 8;
const MOST = 256;

/** Milliseconds until a session ends: without a request, and in any case. */
export interface SessionTimes {
  readonly idleMs: number;
  readonly absoluteMs: number;
}

export interface Session {
  /** What it is called where it is listed; gives no way in. */
  readonly ref: string;
  readonly user: string;
  /** Where it began. */
  readonly address: string;
  readonly role: Role;
  /** What a change has to send along, in a header that no other page can set. */
  readonly csrf: string;
  readonly beganMs: number;
  usedMs: number;
  /** The hash of the password it began with: with another one it ends. */
  password: string;
}

/** Who is logged in. In memory only: a restart logs everybody out. Only hashes of session ids are held. */
export class Sessions {
  readonly #now: () => number;
  readonly #times: SessionTimes;
  readonly #sessions = new Map<string, Session>();

  /** `now` gives monotonic milliseconds. */
  constructor(times: SessionTimes, now: () => number) {
    this.#times = times;
    this.#now = now;
  }

  /** Gives the id for the cookie. */
  begin(
    { user, role, address }: { readonly user: string; readonly role: Role; readonly address: string },
    password: string,
  ): { readonly id: string; readonly session: Session } {
    const now = this.#now();
    for (const [key, session] of this.#sessions) if (this.#over(session)) this.#sessions.delete(key);
    const own = [...this.#sessions].filter(([, session]) => session.user === user);
    if (own.length >= MOST_PER_USER) this.#sessions.delete(own[0]?.[0] ?? "");
    if (this.#sessions.size >= MOST) this.#sessions.delete(this.#sessions.keys().next().value ?? "");
    const id = randomBytes(32).toString("base64url");
    const session = {
      ref: randomBytes(9).toString("base64url"),
      user,
      role,
      address,
      csrf: randomBytes(32).toString("base64url"),
      beganMs: now,
      usedMs: now,
      password,
    };
    this.#sessions.set(hashOf(id), session);
    return { id, session };
  }

  /** `use` counts as a request; looking whether it is still there does not. */
  find(id: string, use = true): Session | undefined {
    const key = hashOf(id);
    const session = this.#sessions.get(key);
    if (!session) return undefined;
    if (this.#over(session)) {
      this.#sessions.delete(key);
      return undefined;
    }
    if (use) session.usedMs = this.#now();
    return session;
  }

  /** Those of a user, or of everybody, the oldest first. */
  list(user?: string): readonly Session[] {
    return [...this.#sessions.values()].filter(
      (session) => (user === undefined || session.user === user) && !this.#over(session),
    );
  }

  /** Ends one that `list` showed; false where the user has none of that name. */
  endListed(user: string, ref: string): boolean {
    for (const [key, session] of this.#sessions)
      if (session.user === user && session.ref === ref) return this.#sessions.delete(key);
    return false;
  }

  end(id: string): void {
    this.#sessions.delete(hashOf(id));
  }

  /** All of a user, but the one with `keep` as its id. */
  endAll(user: string, keep?: string): void {
    const kept = keep === undefined ? undefined : hashOf(keep);
    for (const [key, session] of this.#sessions) if (session.user === user && key !== kept) this.#sessions.delete(key);
  }

  /** Those for whom `keep` says no. */
  keepOnly(keep: (session: Session) => boolean): void {
    for (const [key, session] of this.#sessions) if (!keep(session)) this.#sessions.delete(key);
  }

  #over({ beganMs, usedMs }: Session): boolean {
    const now = this.#now();
    return now - usedMs > this.#times.idleMs || now - beganMs > this.#times.absoluteMs;
  }
}

/** Compares texts that an attacker may guess at. */
export function sameText(a: string, b: string): boolean {
  return timingSafeEqual(Buffer.from(hashOf(a)), Buffer.from(hashOf(b)));
}

export function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
