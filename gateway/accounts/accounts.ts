import { randomBytes } from "node:crypto";
import { ConfigError } from "../core/errors.ts";
import {
  type AccountsContent,
  accountsPath,
  NO_ACCOUNTS,
  readAccounts,
  type Token,
  type User,
  userName,
  versionOf,
  writeAccounts,
} from "./file.ts";
import { hashPassword, isPassword, passwordFault, SCRYPT, type ScryptCost } from "./password.ts";
import type { Role, Scope } from "./roles.ts";
import { hashOf, sameText } from "./sessions.ts";

/** The file is asked at most this often whether somebody else changed it. */
const LOOK_MS = 1_000;
/** Passwords that are tried at once, and how many wait: each takes 32 MiB for a moment. */
const AT_ONCE = 2;
const MOST_WAITING = 16;
const TOKEN = /^mr_([A-Za-z0-9_-]{12})_([A-Za-z0-9_-]{43})$/;

/** Too many passwords are being tried; again in a moment. */
export class BusyError extends Error {
  override readonly name = "BusyError";
}

export interface AccountsParts {
  readonly dataDir: string;
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly cost?: ScryptCost;
  /** The file was changed by somebody else, such as `millrace user`: what is new in it, a few words each. */
  readonly onOutside?: (changes: readonly string[]) => void;
}

/** Users and tokens, in a file of the data folder that the command line may change at any time. */
export class Accounts {
  readonly #path: string;
  readonly #parts: AccountsParts;
  #content: AccountsContent | undefined;
  #version: string | undefined;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #work: Promise<void> = Promise.resolve();
  #trying = 0;
  readonly #queue: (() => void)[] = [];
  #decoy: Promise<string> | undefined;

  constructor(parts: AccountsParts) {
    this.#parts = parts;
    this.#path = accountsPath(parts.dataDir);
  }

  /** Whether there is a first account yet. @throws ConfigError when the file cannot be used. */
  async exist(): Promise<boolean> {
    return (await this.#read()).users.length > 0;
  }

  /** @throws ConfigError. */
  async users(): Promise<readonly User[]> {
    return (await this.#read()).users;
  }

  /** @throws ConfigError. */
  async tokens(): Promise<readonly Token[]> {
    return (await this.#read()).tokens;
  }

  async user(name: string): Promise<User | undefined> {
    return (await this.#read()).users.find((one) => one.name === name);
  }

  /** The user with this password. Takes as long for a user that is not there. @throws BusyError, ConfigError. */
  async check(name: string, password: string): Promise<User | undefined> {
    const user = await this.user(name);
    this.#decoy ??= hashPassword(randomBytes(12).toString("hex"), this.#cost);
    const stored = user?.hash ?? (await this.#decoy);
    const right = await this.#inTurn(() => isPassword(password, stored));
    return right ? user : undefined;
  }

  /** The token, unless it has expired. @throws ConfigError. */
  async tokenOf(text: string): Promise<Token | undefined> {
    const id = TOKEN.exec(text)?.[1];
    const token = id === undefined ? undefined : (await this.tokens()).find((one) => one.id === id);
    if (!token || !sameText(token.hash, hashOf(text))) return undefined;
    return token.expires !== undefined && token.expires <= this.#parts.now() ? undefined : token;
  }

  /** @throws ConfigError: the name is taken or wrong, or the password is none. */
  async add(name: string, role: Role, password: string): Promise<void> {
    checkName(name);
    const hash = await this.#hash(name, password);
    const now = this.#parts.now();
    await this.#change((content) => {
      if (content.users.some((one) => one.name === name)) throw new ConfigError(`there is a user ${name} already`);
      return { ...content, users: [...content.users, { name, role, hash, created: now, changed: now }] };
    });
  }

  /** The first one, an admin. @throws ConfigError when there is one already. */
  async addFirst(name: string, password: string): Promise<void> {
    checkName(name);
    const hash = await this.#hash(name, password);
    const now = this.#parts.now();
    await this.#change((content) => {
      if (content.users.length > 0) throw new ConfigError("there are accounts already");
      return { ...content, users: [{ name, role: "admin", hash, created: now, changed: now }] };
    });
  }

  /** @throws ConfigError. */
  async setPassword(name: string, password: string): Promise<void> {
    const hash = await this.#hash(name, password);
    await this.#changeUser(name, (user) => ({ ...user, hash, changed: this.#parts.now() }));
  }

  /** @throws ConfigError: also for the last admin. */
  async setRole(name: string, role: Role): Promise<void> {
    await this.#changeUser(name, (user) => ({ ...user, role, changed: this.#parts.now() }));
  }

  /** @throws ConfigError: also for the last admin, while there are others. */
  async remove(name: string): Promise<void> {
    await this.#change((content) => {
      const users = content.users.filter((one) => one.name !== name);
      if (users.length === content.users.length) throw new ConfigError(`there is no user ${name}`);
      return { ...content, users: withAdmin(users) };
    });
  }

  /** A new token; its text is shown once and not kept. @throws ConfigError. */
  async addToken(
    name: string,
    scopes: readonly Scope[],
    by: string,
    forMs?: number,
  ): Promise<{ readonly token: Token; readonly text: string }> {
    const id = randomBytes(9).toString("base64url");
    const text = `mr_${id}_${randomBytes(32).toString("base64url")}`;
    const token: Token = {
      id,
      name,
      scopes: [...new Set(scopes)],
      hash: hashOf(text),
      created: this.#parts.now(),
      createdBy: by,
      ...(forMs === undefined ? {} : { expires: this.#parts.now() + forMs }),
    };
    await this.#change((content) => {
      if (content.tokens.length >= 256) throw new ConfigError("there are 256 tokens; remove one");
      return { ...content, tokens: [...content.tokens, token] };
    });
    return { token, text };
  }

  /** @throws ConfigError. */
  async removeToken(id: string): Promise<Token> {
    let found: Token | undefined;
    await this.#change((content) => {
      found = content.tokens.find((one) => one.id === id);
      if (!found) throw new ConfigError(`there is no token ${id}`);
      return { ...content, tokens: content.tokens.filter((one) => one.id !== id) };
    });
    if (!found) throw new ConfigError(`there is no token ${id}`);
    return found;
  }

  get #cost(): ScryptCost {
    return this.#parts.cost ?? SCRYPT;
  }

  async #hash(name: string, password: string): Promise<string> {
    const fault = passwordFault(password, name);
    if (fault !== undefined) throw new ConfigError(fault);
    return await this.#inTurn(() => hashPassword(password, this.#cost));
  }

  async #changeUser(name: string, change: (user: User) => User): Promise<void> {
    await this.#change((content) => {
      if (!content.users.some((one) => one.name === name)) throw new ConfigError(`there is no user ${name}`);
      return { ...content, users: withAdmin(content.users.map((one) => (one.name === name ? change(one) : one))) };
    });
  }

  /** One change after the other, each on what is on disk by then. */
  #change(change: (content: AccountsContent) => AccountsContent): Promise<void> {
    const done = this.#work.then(async () => {
      this.#lookedMs = Number.NEGATIVE_INFINITY;
      const next = change(await this.#read());
      await writeAccounts(this.#path, next);
      this.#content = next;
      this.#version = await versionOf(this.#path);
    });
    this.#work = done.catch(() => {});
    return done;
  }

  async #read(): Promise<AccountsContent> {
    const now = this.#parts.now();
    if (this.#content && Math.abs(now - this.#lookedMs) < LOOK_MS) return this.#content;
    const version = await versionOf(this.#path);
    if (!this.#content || version !== this.#version) {
      const before = this.#content;
      this.#content = undefined;
      this.#content = (await readAccounts(this.#path)) ?? NO_ACCOUNTS;
      this.#version = version;
      if (before) this.#parts.onOutside?.(changesOf(before, this.#content));
    }
    this.#lookedMs = now;
    return this.#content;
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#trying >= AT_ONCE) {
      if (this.#queue.length >= MOST_WAITING) throw new BusyError("too many passwords are tried at once");
      await new Promise<void>((turn) => this.#queue.push(turn));
    } else this.#trying++;
    try {
      return await work();
    } finally {
      const next = this.#queue.shift();
      if (next) next();
      else this.#trying--;
    }
  }
}

function changesOf(before: AccountsContent, after: AccountsContent): string[] {
  const found: string[] = [];
  const old = new Map(before.users.map((user) => [user.name, user]));
  for (const { name, role, hash } of after.users) {
    const known = old.get(name);
    old.delete(name);
    if (!known) found.push(`user ${name} added (${role})`);
    else if (known.role !== role) found.push(`user ${name} is ${role} now`);
    else if (known.hash !== hash) found.push(`user ${name} has another password`);
  }
  for (const name of old.keys()) found.push(`user ${name} removed`);
  const tokens = (content: AccountsContent) => content.tokens.map(({ id }) => id).join(" ");
  if (tokens(before) !== tokens(after)) found.push("tokens changed");
  return found;
}

function checkName(name: string): void {
  const checked = userName.safeParse(name);
  if (!checked.success) throw new ConfigError(checked.error.issues[0]?.message ?? "the name is wrong");
}

/** Somebody has to be able to let others in. */
function withAdmin(users: AccountsContent["users"]): AccountsContent["users"] {
  if (users.length > 0 && !users.some(({ role }) => role === "admin"))
    throw new ConfigError("there would be no admin any more; make somebody else one first");
  return users;
}
