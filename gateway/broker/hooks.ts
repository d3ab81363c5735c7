import type { AedesOptions, Client } from "aedes";
import { messageOf } from "../core/errors.ts";
import type { BrokerLimits } from "../core/options/broker.ts";
import type { Admission } from "./admission.ts";
import { Answers, type Capture, type Publication, type Publisher } from "./capture.ts";
import type { Stored } from "./capture-lane.ts";
import { GuardedConnection } from "./connection.ts";
import type { LogThrottle } from "./log-throttle.ts";
import { NOT_AUTHORIZED } from "./refusal.ts";
import type { SessionKeeper } from "./session-keeper.ts";
import { filterFault, isSharedFilter } from "./topic-rules.ts";

type Hooks = Required<
  Pick<AedesOptions, "preConnect" | "authenticate" | "authorizePublish" | "authorizeSubscribe" | "authorizeForward">
>;
/** Answers a publisher gets once its messages are stored, and once they are kept for the sessions as well. */
type KeptPublisher = Publisher & { readonly kept: Answers };
type PublishPacket = Parameters<Hooks["authorizePublish"]>[1];

/** Takes commands out of what clients publish. */
export interface CommandIntake {
  matches(topic: string): boolean;
  /** Resolves when the client may be told that it arrived. @throws when it may send it again. */
  take(message: {
    readonly topic: string;
    readonly payload: Uint8Array;
    readonly retain: boolean;
    readonly from: string;
    /** Where the sender wants the result too, and by what it knows it (MQTT 5). */
    readonly responseTopic?: string;
    readonly correlation?: Uint8Array;
  }): Promise<void>;
}

export interface HookParts {
  readonly capture: Capture;
  /** Its messages are not captured. */
  readonly commands?: CommandIntake;
  readonly keeper: SessionKeeper;
  readonly admission: Admission;
  readonly limits: BrokerLimits;
  readonly throttle: LogThrottle;
  /** Something was not granted to a client. */
  onDenied(what: "publish" | "subscribe" | "deliver" | "will"): void;
  /** While true, nothing new is taken and wills stay unsaid. */
  isStopping(): boolean;
  /** A message is on its way to a client. */
  onSent(payload: string | Uint8Array): void;
  /** A message was not sent to a client that does not read. */
  onSlow(clientId: string): void;
}

/** What this broker lets clients do, as aedes asks for it. Only connections made by `GuardedConnection` are served. */
export function brokerHooks(parts: HookParts): Hooks {
  const { capture, keeper, throttle, admission, limits } = parts;
  const publishers = new WeakMap<GuardedConnection, KeptPublisher>();

  const warn = (client: Client, message: string, fields: object): void => {
    const connection = connectionOf(client);
    const who = { clientId: shown(client.id), ...(connection && whoIs(connection)) };
    throttle.warn(`${message} ${client.id}`, { ...who, ...fields }, message);
  };
  const deny = (client: Client, what: "publish" | "subscribe" | "will", topic: string): string => {
    const { user } = connectionOf(client) ?? {};
    const list = what === "subscribe" ? "subscribe" : "publish";
    const place = user === undefined ? "broker.anonymous" : `the user ${user} in broker.users`;
    const reason = `it is not granted; see ${list} and deny of ${place}`;
    parts.onDenied(what);
    warn(client, `${what} denied`, { [what === "subscribe" ? "filter" : "topic"]: shown(topic), reason });
    return reason;
  };
  const publisherOf = (client: Client, connection: GuardedConnection): KeptPublisher => {
    const known = publishers.get(connection);
    if (known) return known;
    const publisher = {
      id: client.id,
      keepalive: connection.keepalive,
      answers: new Answers(),
      kept: new Answers(),
    };
    publishers.set(connection, publisher);
    return publisher;
  };

  /** What is stored is kept for the sessions next; both are on disk before the answer, and answers come in order. */
  const keeping = (client: Client, publisher: KeptPublisher, packet: PublishPacket, done: Stored): Stored => {
    const answer = packet.qos > 0 ? publisher.kept.ask(done) : done;
    return (error) => {
      const kept = error ? undefined : keeper.admit(client, packet);
      if (!kept) answer(error);
      else {
        kept.then(
          () => answer(),
          (failure: unknown) => {
            const reason = messageOf(failure);
            warn(client, "a message could not be kept for its receivers, its client is disconnected", { reason });
            answer(failure instanceof Error ? failure : new Error(reason));
          },
        );
      }
    };
  };

  const takeCommand = (
    commands: CommandIntake,
    client: Client,
    publisher: KeptPublisher,
    packet: PublishPacket,
    done: Stored,
  ): void => {
    if (packet.cmd !== "publish") {
      warn(client, "a command may not be a last will", { topic: shown(packet.topic) });
      done(new Error("a command may not be a last will"));
      return;
    }
    const { retain, ...publication } = publicationOf(packet);
    // What is kept would be delivered again and again.
    packet.retain = false;
    const answer = packet.qos > 0 ? publisher.answers.ask(done) : done;
    commands.take({ ...publication, retain, from: `client ${shown(client.id)}` }).then(
      () => answer(),
      (error: unknown) => {
        warn(client, "a command was not taken, its client is disconnected", { reason: messageOf(error) });
        answer(error instanceof Error ? error : new Error(messageOf(error)));
      },
    );
  };

  return {
    preConnect(client, packet, callback) {
      const connection = connectionOf(client);
      if (!connection || parts.isStopping()) {
        callback(new Error("the broker takes no connections now"), false);
        return;
      }
      packet.keepalive = heldKeepalive(packet.keepalive ?? 0, limits);
      connection.keepalive = packet.keepalive;
      const { clientId, clean = true, will } = packet;
      const connect = { clientId, clean, will: will && { topic: will.topic, qos: will.qos } };
      connection.connect = connect;
      connection.refusal = admission.judge(connect);
      callback(null, true);
    },

    authenticate(client, username, password, callback) {
      const connection = connectionOf(client);
      const connect = connection?.connect;
      if (!connection || !connect) {
        callback(Object.assign(new Error("connection refused"), { returnCode: NOT_AUTHORIZED }), false);
        return;
      }
      const login = { username: username ?? undefined, password: password ?? undefined };
      const own = { ...connect, clientId: client.id };
      const decided = connection.refusal
        ? Promise.resolve(connection.refusal)
        : admission.admit(connection, own, login, (clientId) => keeper.ownerOf(clientId));
      void decided.then((refusal) => {
        admission.tell(connection, client.id, login.username, refusal);
        if (!refusal) callback(null, true);
        else callback(Object.assign(new Error("connection refused"), { returnCode: refusal.code }), false);
      });
    },

    authorizePublish(client, packet, callback) {
      const connection = client ? connectionOf(client) : undefined;
      const isWill = packet.cmd !== "publish";
      if (!client || !connection || parts.isStopping()) {
        // A publish stays unanswered: an error would cut the connection before earlier ones are acknowledged.
        if (isWill || !client) callback(new Error("the broker takes no messages now"));
        return;
      }
      const done = (error?: Error) => {
        if (!isWill && packet.qos > 0) connection.settled();
        callback(error ?? null);
      };
      const { refusal } = capture.judge(packet.topic);
      if (refusal !== undefined) {
        warn(client, "publish refused, its client is disconnected", { topic: shown(packet.topic), reason: refusal });
        done(new Error(refusal));
        return;
      }
      if (!connection.rights.mayPublish(packet.topic)) {
        done(new Error(deny(client, isWill ? "will" : "publish", packet.topic)));
        return;
      }
      const publisher = publisherOf(client, connection);
      if (parts.commands?.matches(packet.topic)) {
        takeCommand(parts.commands, client, publisher, packet, done);
        return;
      }
      const keep = keeping(client, publisher, packet, done);
      if (isWill) capture.will(publisher, publicationOf(packet), keep);
      else capture.publish(publisher, publicationOf(packet), keep);
    },

    authorizeSubscribe(client, subscription, callback) {
      const { topic } = subscription;
      const connection = connectionOf(client);
      // What it holds from before may be longer than is allowed now.
      const isHeld = keeper.holds(client.id, topic);
      const fault = filterFault(topic, isHeld ? undefined : limits);
      if (!connection || fault !== undefined) {
        warn(client, "subscription refused, its client is disconnected", { filter: shown(topic), reason: fault });
        callback(new Error(fault));
        return;
      }
      if (!connection.rights.maySubscribe(topic)) {
        deny(client, "subscribe", topic);
        callback(null, null);
        return;
      }
      const reason = subscriptionRefusal(
        connection,
        topic,
        isHeld ? Number.POSITIVE_INFINITY : limits.maxSubscriptions,
      );
      if (reason !== undefined) {
        warn(client, "subscription refused", { filter: shown(topic), reason });
        callback(null, null);
        return;
      }
      connection.filters.add(topic);
      callback(null, subscription);
    },

    authorizeForward(client, packet) {
      if (connectionOf(client)?.rights.mayRead(packet.topic) !== true) {
        parts.onDenied("deliver");
        keeper.deny(client, packet);
        return null;
      }
      const forwarded = keeper.forward(client, packet, {
        // One that waits for its socket would hold one of the broker's slots per message, and with them everybody else.
        isSlow: () => connectionOf(client)?.isSlow() === true,
        missed: () => parts.onSlow(client.id),
      });
      if (forwarded) parts.onSent(forwarded.payload);
      return forwarded;
    },
  };
}

export function connectionOf(client: Client): GuardedConnection | undefined {
  return client.conn instanceof GuardedConnection ? client.conn : undefined;
}

/** Seconds: within the bounds, and with the longest for those that want none. */
function heldKeepalive(wanted: number, { minKeepalive, maxKeepalive }: BrokerLimits): number {
  const longest = Math.ceil(maxKeepalive / 1000);
  return wanted === 0 ? longest : Math.min(longest, Math.max(Math.ceil(minKeepalive / 1000), wanted));
}

function subscriptionRefusal(connection: GuardedConnection, filter: string, most: number): string | undefined {
  if (isSharedFilter(filter)) return "shared subscriptions are MQTT 5, this broker speaks MQTT 3.1.1";
  if (connection.filters.has(filter) || connection.filters.size < most) return undefined;
  return `a client may hold ${most} topic filters; use wider ones, or raise broker.limits.maxSubscriptions`;
}

/** For log lines: where it is, and as whom. */
export function whoIs({ address, user }: GuardedConnection): { address: string; user?: string } {
  return { address, ...(user !== undefined && { user }) };
}

function publicationOf(packet: PublishPacket): Publication {
  const { topic, payload, qos, retain, messageId } = packet;
  return {
    topic,
    payload: typeof payload === "string" ? Buffer.from(payload) : payload,
    qos,
    retain: retain === true,
    ...(messageId === undefined ? {} : { packetId: messageId }),
  };
}

/** Foreign text in a log line: bounded. */
function shown(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`;
}
