import { ConfigError } from "../core/errors.ts";
import type { Grants, UserOptions } from "../core/options/broker.ts";
import type { SecretRef } from "../core/options/units.ts";
import { parsePasswordHash } from "../core/password-hash.ts";
import type { Secret } from "../core/secret.ts";
import { ALL_RIGHTS, NO_RIGHTS, type Rights, rightsOf } from "./rights.ts";

export type SecretReader = (ref: SecretRef) => Secret;

/** Who may connect. The list may be replaced at any time. */
export class Users {
  readonly #secret: SecretReader;
  #users: ReadonlyMap<string, UserOptions>;

  readonly #anonymous: Grants | undefined;

  constructor(users: readonly UserOptions[], secret: SecretReader, anonymous?: Grants) {
    this.#anonymous = anonymous;
    this.#secret = secret;
    this.#users = mapOf(users);
  }

  /** True when there are none: then everybody is anonymous. */
  get areNone(): boolean {
    return this.#users.size === 0;
  }
  get names(): string[] {
    return [...this.#users.keys()];
  }

  /** What clients without a user may do, as far as any may connect. */
  anonymousRights(clientId: string): Rights {
    if (this.#anonymous) return rightsOf({ name: "", ...this.#anonymous }, clientId);
    return this.areNone ? ALL_RIGHTS : NO_RIGHTS;
  }

  /** Whether a client may come without a user, from this machine or from elsewhere. */
  letIn(isLocal: boolean): boolean {
    return this.areNone || (isLocal && this.#anonymous !== undefined);
  }

  replace(users: readonly UserOptions[]): void {
    this.#users = mapOf(users);
  }

  has(name: string): boolean {
    return this.#users.has(name);
  }

  /**
   * The hash of a user's password, read anew each time. Undefined where there is no such user, or only a certificate lets it in.
   * @throws ConfigError where it cannot be read, or is no hash.
   */
  hashOf(name: string): string | undefined {
    const password = this.#users.get(name)?.password;
    if (password === undefined || typeof password === "string") return password;
    const secret = this.#secret(password);
    const hash = secret.reveal().trim();
    if (parsePasswordHash(hash)) return hash;
    throw new ConfigError(`${secret.origin} holds no password hash; make one with: millrace passwd`);
  }

  /** Undefined where there is no such user. */
  rights(name: string, clientId: string): Rights | undefined {
    const user = this.#users.get(name);
    return user && rightsOf(user, clientId);
  }
}

function mapOf(users: readonly UserOptions[]): ReadonlyMap<string, UserOptions> {
  return new Map(users.map((user) => [user.name, user]));
}
