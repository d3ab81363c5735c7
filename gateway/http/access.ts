import { randomInt } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { type Accounts, BusyError } from "../accounts/accounts.ts";
import type { User } from "../accounts/file.ts";
import { Lockout } from "../accounts/lockout.ts";
import { type Scope, scopesOf } from "../accounts/roles.ts";
import { type Session, Sessions, sameText } from "../accounts/sessions.ts";
import type { Auditor } from "../core/audit.ts";
import { type Counter, type Metrics, noMetrics } from "../core/metrics.ts";
import { HttpError } from "./body.ts";
import { addressOf } from "./security.ts";

/** Who asks, and what they may do. */
export interface Principal {
  /** For the audit trail: the user's name, or `token NAME (ID)`. */
  readonly name: string;
  readonly user?: string;
  readonly address: string;
  readonly scopes: readonly Scope[];
  /** Present with a cookie. */
  readonly session?: { readonly id: string; readonly session: Session };
}

export interface AccessParts {
  readonly accounts: Accounts;
  readonly audit: Auditor;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly times: { readonly idleMs: number; readonly absoluteMs: number };
  /** Who is logged in already, where the server was another before. */
  readonly sessions?: Sessions;
  readonly metrics?: Metrics;
}

/** Without letters that are taken for another. */
const LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/** 5 bits each: 120. */
const TOKEN_LETTERS = 24;
const NOBODY = "nobody";
const MINUTE_MS = 60_000;
/** So many are written down in a minute; the rest are counted. */
const MOST_REFUSALS = 30;
/** No names of users. */
const SETUP = " setup";
const TOKENS = " token";

/** Who may come in: the first account, logins, sessions, tokens, and who tried too often. */
export class Access {
  readonly #parts: AccessParts;
  readonly #sessions: Sessions;
  readonly #lockout: Lockout;
  readonly #logins: Counter;
  #setupToken: string | undefined;
  /** Refusals since the minute began. */
  #refusals = 0;
  #minuteMs = Number.NEGATIVE_INFINITY;

  constructor(parts: AccessParts) {
    this.#parts = parts;
    this.#sessions = parts.sessions ?? new Sessions(parts.times, parts.now);
    this.#lockout = new Lockout(parts.now);
    const { metrics = noMetrics } = parts;
    this.#logins = metrics.counter(
      "millrace_http_logins_total",
      "Attempts to come in by password or token, by what became of them: ok, failed, locked. Good tokens are not counted.",
      ["result"],
    );
    // Rows that begin with 1 are no increase to who watches.
    for (const result of ["ok", "failed", "locked"]) this.#logins.inc({ result }, 0);
  }

  /** A token for the first account, good once; undefined where there are accounts. @throws ConfigError: they cannot be read. */
  async setupToken(): Promise<string | undefined> {
    if (await this.#parts.accounts.exist()) return undefined;
    const letters = Array.from({ length: TOKEN_LETTERS }, () => LETTERS[randomInt(LETTERS.length)] ?? "");
    this.#setupToken = (letters.join("").match(/.{6}/g) ?? []).join("-");
    return this.#setupToken;
  }

  /** Whether the first account is still to be made. @throws ConfigError. */
  async awaitsSetup(): Promise<boolean> {
    // The command line may have made one meanwhile.
    if (this.#setupToken !== undefined && (await this.#parts.accounts.exist())) this.#setupToken = undefined;
    return this.#setupToken !== undefined;
  }

  /** Makes the first account, an admin. @throws HttpError, ConfigError. */
  async setup(request: IncomingMessage, given: { token: string; user: string; password: string }): Promise<Started> {
    const address = addressOf(request);
    const { accounts, audit } = this.#parts;
    this.#throwIfLocked(SETUP, address);
    const wanted = (await this.awaitsSetup()) ? this.#setupToken : undefined;
    if (wanted === undefined) {
      throw new HttpError(409, "MILLRACE_CONFIG", "there are accounts already; log in");
    }
    if (!sameText(wanted, given.token.trim().toUpperCase())) {
      await this.#refuse(SETUP, address, "setup", "wrong setup token");
      throw new HttpError(
        403,
        "MILLRACE_FORBIDDEN",
        "the setup token is wrong; it is in the log of the gateway's start",
      );
    }
    await accounts.addFirst(given.user, given.password);
    this.#setupToken = undefined;
    this.#lockout.succeeded(SETUP, address);
    await audit.record({ actor: given.user, address, action: "setup", target: given.user, outcome: "ok" });
    return await this.#begin(given.user, address);
  }

  /** @throws HttpError 401, 429 or 503. */
  async login(request: IncomingMessage, given: { user: string; password: string }): Promise<Started> {
    const address = addressOf(request);
    const { audit } = this.#parts;
    this.#throwIfLocked(given.user, address);
    const user = await this.#tried(given.user, given.password);
    // Others may have failed while this one was being tried.
    this.#throwIfLocked(given.user, address);
    if (!user) {
      await this.#refuse(given.user, address, "login", "wrong name or password");
      throw new HttpError(401, "MILLRACE_UNAUTHORIZED", "the name or the password is wrong");
    }
    this.#lockout.succeeded(given.user, address);
    const old = cookieOf(request);
    if (old !== undefined) this.#sessions.end(old);
    this.#logins.inc({ result: "ok" });
    await audit.record({ actor: user.name, address, action: "login", outcome: "ok" });
    return await this.#begin(user.name, address);
  }

  async logout({ name, address, session }: Principal): Promise<void> {
    if (session === undefined) return;
    this.#sessions.end(session.id);
    await this.#parts.audit.record({ actor: name, address, action: "logout", outcome: "ok" });
  }

  /** Sessions of a user, or of everybody, the oldest first. */
  sessions(user?: string): readonly Session[] {
    return this.#sessions.list(user);
  }

  /** Ends one of those who ask, by its `ref`; false where there is none. */
  async endOwn({ name, user = "", address }: Principal, ref: string): Promise<boolean> {
    if (!this.#sessions.endListed(user, ref)) return false;
    await this.#parts.audit.record({ actor: name, address, action: "session.end", target: user, outcome: "ok" });
    return true;
  }

  /** Where a user is locked out at present. */
  locksOf(user: string): readonly { readonly address: string; readonly forMs: number }[] {
    return this.#lockout.locksOf(user);
  }

  /** Opens what `locksOf` tells; gives how many. */
  release(user: string): number {
    return this.#lockout.release(user);
  }

  /** Whether somebody's password is this one; wrong ones count as failed logins. @throws HttpError. */
  async confirm({ user = "", address }: Principal, password: string): Promise<void> {
    this.#throwIfLocked(user, address);
    if (await this.#tried(user, password)) return this.#lockout.succeeded(user, address);
    await this.#refuse(user, address, "password", "wrong present password");
    throw new HttpError(403, "MILLRACE_FORBIDDEN", "the present password is wrong");
  }

  /** Ends the sessions of a user; the one that asks goes on with the new password. */
  async endAll(name: string, by?: Principal): Promise<void> {
    this.#sessions.endAll(name, by?.session?.id);
    if (by?.session && by.user === name)
      by.session.session.password = (await this.#parts.accounts.user(name))?.hash ?? "";
  }

  /** Undefined for somebody unknown. @throws HttpError 401 for a token that is none; ConfigError. */
  async principal(request: IncomingMessage): Promise<Principal | undefined> {
    const address = addressOf(request);
    const { authorization } = request.headers;
    if (authorization !== undefined) return await this.#byToken(authorization, address);
    const id = cookieOf(request);
    if (id === undefined) return undefined;
    const session = this.#sessions.find(id);
    if (!session) return undefined;
    const user = await this.#parts.accounts.user(session.user);
    if (!user || !isOf(session, user)) {
      this.#sessions.end(id);
      return undefined;
    }
    return { name: user.name, user: user.name, address, scopes: scopesOf(user.role), session: { id, session } };
  }

  /** Whether whoever asked may still see what goes on: for answers that last. */
  async lasts(principal: Principal, authorization: string | undefined): Promise<boolean> {
    try {
      if (principal.session === undefined)
        return authorization !== undefined && (await this.#tokenOf(authorization)) !== undefined;
      const session = this.#sessions.find(principal.session.id, false);
      const user = session && (await this.#parts.accounts.user(session.user));
      return session !== undefined && user !== undefined && isOf(session, user);
    } catch {
      return false;
    }
  }

  /** What a change has to send along where a cookie says who asks. */
  hasCsrf({ session }: Principal, request: IncomingMessage): boolean {
    const given = request.headers["x-csrf-token"];
    return session === undefined || (typeof given === "string" && sameText(given, session.session.csrf));
  }

  async #byToken(authorization: string, address: string): Promise<Principal> {
    const token = await this.#tokenOf(authorization);
    if (!token) {
      // A good one always comes in: these cannot be guessed, only the trail is to be kept short.
      this.#throwIfLocked(TOKENS, address);
      await this.#refuse(TOKENS, address, "token", "unknown or expired token");
      throw new HttpError(401, "MILLRACE_UNAUTHORIZED", "the token is not known or has expired");
    }
    return { name: `token ${token.name} (${token.id})`, address, scopes: token.scopes };
  }

  async #tokenOf(authorization: string) {
    const text = /^Bearer ([\x21-\x7e]{1,200})$/i.exec(authorization)?.[1];
    return text === undefined ? undefined : await this.#parts.accounts.tokenOf(text);
  }

  async #tried(user: string, password: string) {
    try {
      return await this.#parts.accounts.check(user, password);
    } catch (error) {
      if (error instanceof BusyError) throw new HttpError(503, "MILLRACE_BUSY", error.message, 2);
      throw error;
    }
  }

  async #begin(name: string, address: string): Promise<Started> {
    const user = await this.#parts.accounts.user(name);
    if (!user) throw new HttpError(401, "MILLRACE_UNAUTHORIZED", "the account is gone");
    return this.#sessions.begin({ user: user.name, role: user.role, address }, user.hash);
  }

  #throwIfLocked(user: string, address: string): void {
    const lockedMs = this.#lockout.lockedMs(user, address);
    if (lockedMs === 0) return;
    const seconds = Math.ceil(lockedMs / 1000);
    this.#logins.inc({ result: "locked" });
    throw new HttpError(429, "MILLRACE_LOCKED", `too many failures; try again in ${seconds} s`, seconds);
  }

  /**
   * While somebody is locked out nothing is tried, and nothing is written. From many addresses at once, or with many names,
   * refusals beyond some a minute are only counted: nobody can push old entries out of the trail.
   */
  async #refuse(user: string, address: string, action: string, detail: string): Promise<void> {
    const { audit, now } = this.#parts;
    this.#logins.inc({ result: "failed" });
    const lockMs = this.#lockout.failed(user, address);
    if (now() - this.#minuteMs >= MINUTE_MS) {
      this.#minuteMs = now();
      const untold = this.#refusals - MOST_REFUSALS;
      this.#refusals = 0;
      if (untold > 0)
        await audit.record({
          actor: NOBODY,
          action,
          outcome: "refused",
          detail: `${untold} more, not written one by one`,
        });
    }
    if (++this.#refusals > MOST_REFUSALS) return;
    // A password that was typed into the wrong field must not be kept: only names that there are.
    const target = (await this.#parts.accounts.user(user).catch(() => undefined))?.name;
    const about = { actor: NOBODY, address, action, ...(target !== undefined && { target }) };
    await audit.record({ ...about, outcome: "refused", detail });
    if (lockMs > 0)
      await audit.record({ ...about, action: `${action}.lock`, outcome: "ok", detail: `for ${lockMs / 1000} s` });
  }
}

/** A session that began; the id is for the cookie. */
export interface Started {
  readonly id: string;
  readonly session: Session;
}

/** Whoever has another role or password by now logs in again. */
function isOf({ role, password }: Session, user: User): boolean {
  return user.role === role && user.hash === password;
}

const ID = /^[A-Za-z0-9_-]{43}$/;

/** Two gateways on one machine share its cookies on loopback: each has its own by its port. */
function cookieName({ socket }: IncomingMessage): string {
  return "encrypted" in socket ? "__Host-millrace" : `millrace_${socket.localPort}`;
}

function cookieOf(request: IncomingMessage): string | undefined {
  const start = `${cookieName(request)}=`;
  const found = (request.headers.cookie ?? "").split(";").find((part) => part.trim().startsWith(start));
  const id = found?.trim().slice(start.length);
  return id !== undefined && ID.test(id) ? id : undefined;
}

/** `Set-Cookie` for a session that began or, without an id, for one that ended. */
export function cookieFor(request: IncomingMessage, id?: string): string {
  const secure = "encrypted" in request.socket ? "; Secure" : "";
  return `${cookieName(request)}=${id ?? ""}; Path=/; HttpOnly; SameSite=Strict${secure}${id === undefined ? "; Max-Age=0" : ""}`;
}
