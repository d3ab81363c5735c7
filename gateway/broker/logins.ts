import { messageOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { formatDuration } from "../core/options/units.ts";
import { Lockout } from "./lockout.ts";
import { isLoopback } from "./loopback.ts";
import { PasswordChecks, type Question } from "./password-checks.ts";
import { BAD_LOGIN, NOT_AUTHORIZED, type Refusal, UNAVAILABLE } from "./refusal.ts";
import { isCleanText } from "./topic-rules.ts";
import type { Users } from "./users.ts";

export interface Login {
  readonly address: string;
  /** CN of the verified client certificate. */
  readonly certificateUser?: string | undefined;
  readonly username?: string | undefined;
  readonly password?: Buffer | undefined;
  /** Whether the client went away meanwhile. */
  isGone?(): boolean;
}

/** The user; undefined when everybody is anonymous. Or why not. */
export type LoginResult = { readonly user: string | undefined } | { readonly refusal: Refusal };

const NO_PASSWORD = Buffer.alloc(0);

/** Finds out who connects. Passwords are in no log line. */
export class Logins {
  readonly #users: Users;
  readonly #monoMs: () => number;
  readonly #log: Logger;
  readonly #lockout = new Lockout();
  readonly #checks = new PasswordChecks();
  /** The last check of an address: the next one waits for it. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(users: Users, monoMs: () => number, log: Logger) {
    this.#users = users;
    this.#monoMs = monoMs;
    this.#log = log;
  }

  /** Never rejects. */
  async who(login: Login): Promise<LoginResult> {
    const { certificateUser, username } = login;
    if (this.#users.areNone) return { user: undefined };
    if (certificateUser !== undefined) return this.#byCertificate(certificateUser, username);
    if (username === undefined || username === "") {
      if (this.#users.letIn(isLoopback(login.address))) return { user: undefined };
      return refused(NOT_AUTHORIZED, "anonymous", "it gave no user name; set user and password in the client");
    }
    if (!isCleanText(username)) return refused(BAD_LOGIN, "bad-login", "the user name is not valid UTF-8 text");
    return await this.#inTurn(login.address, () => this.#byPassword(username, login));
  }

  /** Idempotent, never rejects. */
  end(): Promise<void> {
    return this.#checks.end();
  }

  #byCertificate(name: string, username: string | undefined): LoginResult {
    if (!this.#users.has(name)) {
      const cure = "add a user with the CN as its name to broker.users";
      return refused(NOT_AUTHORIZED, "unknown-certificate", `no user has the CN of its certificate; ${cure}`);
    }
    if (username !== undefined && username !== "" && username !== name) {
      const cure = "leave the user name of the client empty";
      return refused(NOT_AUTHORIZED, "unknown-certificate", `its user name is not the CN of its certificate; ${cure}`);
    }
    return { user: name };
  }

  /** One check at a time for each address, so that nothing is tried behind the back of the lock. */
  async #inTurn(address: string, body: () => Promise<LoginResult>): Promise<LoginResult> {
    const before = this.#turns.get(address) ?? Promise.resolve();
    const turn = before.then(body);
    this.#turns.set(address, turn);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(address) === turn) this.#turns.delete(address);
    }
  }

  async #byPassword(user: string, login: Login): Promise<LoginResult> {
    const { address, password = NO_PASSWORD } = login;
    const isGone = () => login.isGone?.() === true;
    if (isGone()) return refused(UNAVAILABLE, "gone", "the client went away");
    const locked = this.#lockout.lockedFor(user, address, this.#monoMs());
    if (locked > 0) {
      const cure = `set the right password in the client; it is looked at again in ${formatDuration(locked)}`;
      return refused(UNAVAILABLE, "locked", `too many wrong passwords of this user from there; ${cure}`);
    }
    let hash: string | undefined;
    try {
      hash = this.#users.hashOf(user);
    } catch (error) {
      return refused(UNAVAILABLE, "no-hash", `the gateway cannot check the password: ${messageOf(error)}`);
    }
    if (hash !== undefined && this.#checks.isKnown(password, hash)) return this.#passed(user, address);
    const spent = this.#lockout.spentFor(address, this.#monoMs());
    if (spent > 0) {
      const cure = `stop what tries them; passwords are looked at again in ${formatDuration(spent)}`;
      return refused(UNAVAILABLE, "address-spent", `too many wrong logins from there within a minute; ${cure}`);
    }
    const isSuspect = this.#lockout.isSuspect(address, this.#monoMs());
    const isRight = await this.#check({ password, hash, isSuspect, isGone });
    if (isRight === undefined) {
      if (isGone()) return refused(UNAVAILABLE, "gone", "the client went away");
      return refused(UNAVAILABLE, "busy", "too many logins at once; it may try again");
    }
    if (isRight) return this.#passed(user, address);
    const lockMs = this.#lockout.failed(user, address, this.#monoMs());
    const what = lockMs > 0 ? `; this user is locked from there for ${formatDuration(lockMs)}` : "";
    return refused(
      BAD_LOGIN,
      "bad-login",
      `user or password is wrong${what}; correct the client, or make a new hash with millrace passwd`,
    );
  }

  async #check(question: Question): Promise<boolean | undefined> {
    try {
      return await this.#checks.check(question);
    } catch (error) {
      this.#log.error({ reason: messageOf(error) }, "a password could not be checked");
      return undefined;
    }
  }

  #passed(user: string, address: string): LoginResult {
    this.#lockout.passed(user, address);
    return { user };
  }
}

function refused(code: number, reason: string, message: string): LoginResult {
  return { refusal: { code, reason, message } };
}
