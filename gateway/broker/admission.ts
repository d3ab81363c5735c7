import type { Auditor } from "../core/audit.ts";
import type { Logger } from "../core/log.ts";
import type { Counter, Metrics } from "../core/metrics.ts";
import type { BrokerOptions } from "../core/options/broker.ts";
import type { GuardedConnection } from "./connection.ts";
import type { LogThrottle } from "./log-throttle.ts";
import { LoginTrail } from "./login-trail.ts";
import { type Login, Logins } from "./logins.ts";
import { isLoopback } from "./loopback.ts";
import { type Connect, IDENTIFIER_REJECTED, NOT_AUTHORIZED, type Refusal } from "./refusal.ts";
import { NO_RIGHTS } from "./rights.ts";
import { isCleanText, type TopicLimits, topicRefusal } from "./topic-rules.ts";
import { type SecretReader, Users } from "./users.ts";

const MAX_CLIENT_ID_CHARS = 256;

export interface AdmissionParts {
  readonly options: BrokerOptions;
  readonly secret: SecretReader;
  readonly monoMs: () => number;
  readonly log: Logger;
  readonly throttle: LogThrottle;
  readonly metrics: Metrics;
  readonly audit: Auditor;
}

interface Present {
  readonly connection: GuardedConnection;
  readonly user: string | undefined;
  /** When it took the place of another one. */
  readonly tookMs: number;
}

/** Decides who is let in: by login, by client id, and by what its will would do. */
export class Admission {
  readonly #parts: AdmissionParts;
  readonly #users: Users;
  readonly #logins: Logins;
  readonly #trail: LoginTrail;
  readonly #counter: Counter;
  readonly #present = new Map<string, Present>();

  constructor(parts: AdmissionParts) {
    const { options, secret, monoMs, log, metrics, audit } = parts;
    this.#parts = parts;
    this.#users = new Users(options.users, secret, options.anonymous);
    this.#logins = new Logins(this.#users, monoMs, log);
    this.#trail = new LoginTrail(audit, monoMs);
    this.#counter = metrics.counter(
      "millrace_broker_logins_total",
      "CONNECTs of local clients, by what became of them.",
      ["result"],
    );
  }

  /** Names of users whose password cannot be checked, with the reason. */
  faults(): { readonly user: string; readonly fault: unknown }[] {
    return this.#users.names.flatMap((user) => {
      try {
        this.#users.hashOf(user);
        return [];
      } catch (fault) {
        return [{ user, fault }];
      }
    });
  }

  /** What is wrong with the CONNECT itself. */
  judge({ clientId, clean, will }: Connect): Refusal | undefined {
    const badId = (message: string) => ({ code: IDENTIFIER_REJECTED, reason: "client-id", message });
    if (!isCleanText(clientId)) return badId("the client id is not valid UTF-8 text");
    if (clientId.length > MAX_CLIENT_ID_CHARS) {
      return badId(`the client id has more than ${MAX_CLIENT_ID_CHARS} characters`);
    }
    // [MQTT-3.1.3-8]
    if (clientId === "" && !clean) return badId("a session that is kept needs a client id");
    if (!will) return undefined;
    const badWill = (message: string) => ({ code: NOT_AUTHORIZED, reason: "will", message });
    if ((will.qos ?? 0) > 2) return badWill("the QoS of the will is not 0, 1 or 2");
    const refusal = topicRefusal(will.topic, this.#topicLimits);
    return refusal === undefined ? undefined : badWill(`will: ${refusal}`);
  }

  /**
   * Gives the connection its user and rights, or says why not. `ownerOf` tells whose the kept session of a client id is.
   * Never rejects.
   */
  async admit(
    connection: GuardedConnection,
    { clientId, will }: Connect,
    login: Pick<Login, "username" | "password">,
    ownerOf: (clientId: string) => string | undefined,
  ): Promise<Refusal | undefined> {
    const { address, certificateUser } = connection;
    const result = await this.#logins.who({
      ...login,
      address,
      certificateUser,
      isGone: () => connection.destroyed,
    });
    if ("refusal" in result) return result.refusal;
    const { user } = result;
    const owner = ownerOf(clientId);
    if (owner !== undefined && owner !== user && this.#users.has(owner)) return notItsOwn();
    connection.user = user;
    this.#giveRights(connection, clientId);
    if (will && !connection.rights.mayPublish(will.topic)) {
      const message =
        "its user may not publish to the topic of its will; add it to publish of the user in broker.users";
      return { code: NOT_AUTHORIZED, reason: "will", message };
    }
    const taken = this.#takeOver(connection, clientId, user);
    if (taken) return taken;
    connection.admit();
    return undefined;
  }

  /** Counts, logs and writes into the audit trail what became of a CONNECT. */
  tell(
    connection: GuardedConnection,
    clientId: string,
    username: string | undefined,
    refusal: Refusal | undefined,
  ): void {
    this.#counter.inc({ result: refusal?.reason ?? "accepted" });
    const { address } = connection;
    if (!refusal) {
      this.#trail.accepted(connection.user, address);
      return;
    }
    const { reason, message } = refusal;
    this.#trail.refused(username !== undefined && this.#users.has(username) ? username : undefined, address, reason);
    const shown = (text: string) => text.slice(0, 100);
    this.#parts.throttle.warn(
      `connect ${reason} ${address}`,
      {
        address,
        clientId: shown(clientId),
        ...(username !== undefined && { user: shown(username) }),
        reason,
        detail: message,
      },
      "client refused",
    );
  }

  /**
   * Replaces the users. Who is connected gets its new rights at once.
   * @returns connections whose user is gone or has another password: close them.
   */
  replaceUsers(users: BrokerOptions["users"]): GuardedConnection[] {
    const before = new Map(this.#users.names.map((name) => [name, this.#hashOf(name)]));
    this.#users.replace(users);
    const gone: GuardedConnection[] = [];
    for (const [clientId, { connection, user }] of this.#present) {
      const isSame =
        user === undefined ? this.#users.letIn(isLoopback(connection.address)) : this.#isSame(user, before);
      connection.rights = NO_RIGHTS;
      if (isSame) this.#giveRights(connection, clientId);
      else gone.push(connection);
    }
    return gone;
  }

  /** Idempotent, never rejects. */
  async end(): Promise<void> {
    await this.#logins.end();
    await this.#trail.end();
  }

  get #topicLimits(): TopicLimits {
    return this.#parts.options.limits;
  }

  #isSame(user: string, before: ReadonlyMap<string, string | undefined>): boolean {
    return this.#users.has(user) && before.has(user) && before.get(user) === this.#hashOf(user);
  }

  #hashOf(name: string): string | undefined {
    try {
      return this.#users.hashOf(name);
    } catch {
      return undefined;
    }
  }

  #giveRights(connection: GuardedConnection, clientId: string): void {
    const { user } = connection;
    const users = this.#users;
    connection.rights =
      user === undefined ? users.anonymousRights(clientId) : (users.rights(user, clientId) ?? NO_RIGHTS);
  }

  #takeOver(connection: GuardedConnection, clientId: string, user: string | undefined): Refusal | undefined {
    const now = this.#parts.monoMs();
    const other = this.#present.get(clientId);
    if (other && other.user !== user) return notItsOwn();
    if (other && now - other.tookMs < this.#parts.options.limits.takeoverEvery) {
      const message = "two clients with this client id throw each other out; give each one its own";
      return { code: IDENTIFIER_REJECTED, reason: "takeover", message };
    }
    const present = { connection, user, tookMs: other ? now : Number.NEGATIVE_INFINITY };
    this.#present.set(clientId, present);
    const leave = () => {
      if (this.#present.get(clientId) === present) this.#present.delete(clientId);
    };
    if (connection.destroyed) leave();
    else connection.once("close", leave);
    return undefined;
  }
}

function notItsOwn(): Refusal {
  const message = "the client id is in use by another user; give each client its own";
  return { code: IDENTIFIER_REJECTED, reason: "client-id", message };
}
