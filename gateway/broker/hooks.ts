import type { AedesOptions, Client } from "aedes";
import { Answers, type Capture, type Publication, type Publisher } from "./capture.ts";
import { GuardedConnection } from "./connection.ts";
import type { LogThrottle } from "./log-throttle.ts";
import { MAX_FILTERS } from "./persistence.ts";
import { filterFault, isCleanText, isSharedFilter, topicRefusal } from "./topic-rules.ts";

type Hooks = Required<
  Pick<AedesOptions, "preConnect" | "authenticate" | "authorizePublish" | "authorizeSubscribe" | "authorizeForward">
>;
type ConnectPacket = Parameters<Hooks["preConnect"]>[1];
type PublishPacket = Parameters<Hooks["authorizePublish"]>[1];

const IDENTIFIER_REJECTED = 2;
const NOT_AUTHORIZED = 5;
const MAX_CLIENT_ID_CHARS = 256;

export interface HookParts {
  readonly capture: Capture;
  readonly throttle: LogThrottle;
  /** While true, nothing new is taken and wills stay unsaid. */
  isStopping(): boolean;
  /** A message was not sent to a client that does not read. */
  onSlow(clientId: string): void;
}

/** What this broker lets clients do, as aedes asks for it. Only connections made by `GuardedConnection` are served. */
export function brokerHooks(parts: HookParts): Hooks {
  const { capture, throttle } = parts;
  const publishers = new WeakMap<GuardedConnection, Publisher>();

  const warn = (client: Client, message: string, fields: object): void => {
    throttle.warn(`${message} ${client.id}`, { clientId: client.id, ...fields }, message);
  };
  const publisherOf = (client: Client, connection: GuardedConnection): Publisher => {
    const known = publishers.get(connection);
    if (known) return known;
    const publisher = { id: client.id, keepalive: connection.keepalive, answers: new Answers() };
    publishers.set(connection, publisher);
    return publisher;
  };

  return {
    preConnect(client, packet, callback) {
      const connection = connectionOf(client);
      if (!connection || parts.isStopping()) {
        callback(new Error("the broker takes no connections now"), false);
        return;
      }
      connection.keepalive = packet.keepalive ?? 0;
      const fault = connectFault(packet);
      if (fault) {
        connection.refusal = fault.code;
        throttle.warn(
          `connect ${fault.reason}`,
          { address: connection.address, reason: fault.reason },
          "client refused",
        );
      }
      callback(null, true);
    },

    authenticate(client, _username, _password, callback) {
      const refusal = connectionOf(client)?.refusal ?? NOT_AUTHORIZED;
      if (refusal === 0) callback(null, true);
      else callback(Object.assign(new Error("connection refused"), { returnCode: refusal }), false);
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
      const publisher = publisherOf(client, connection);
      if (isWill) capture.will(publisher, publicationOf(packet), done);
      else capture.publish(publisher, publicationOf(packet), done);
    },

    authorizeSubscribe(client, subscription, callback) {
      const { topic } = subscription;
      const connection = connectionOf(client);
      const fault = filterFault(topic);
      if (!connection || fault !== undefined) {
        warn(client, "subscription refused, its client is disconnected", { filter: shown(topic), reason: fault });
        callback(new Error(fault));
        return;
      }
      const reason = subscriptionRefusal(connection, topic);
      if (reason !== undefined) {
        warn(client, "subscription refused", { filter: shown(topic), reason });
        callback(null, null);
        return;
      }
      connection.filters.add(topic);
      callback(null, subscription);
    },

    authorizeForward(client, packet) {
      // One that waits for its socket would hold one of the broker's slots per message, and with them everybody else.
      if (!connectionOf(client)?.isSlow()) return packet;
      parts.onSlow(client.id);
      return null;
    },
  };
}

export function connectionOf(client: Client): GuardedConnection | undefined {
  return client.conn instanceof GuardedConnection ? client.conn : undefined;
}

function connectFault(packet: ConnectPacket): { code: number; reason: string } | undefined {
  const { clientId, clean, will } = packet;
  if (!isCleanText(clientId)) return { code: IDENTIFIER_REJECTED, reason: "the client id is not valid UTF-8 text" };
  if (clientId.length > MAX_CLIENT_ID_CHARS) {
    return { code: IDENTIFIER_REJECTED, reason: `the client id has more than ${MAX_CLIENT_ID_CHARS} characters` };
  }
  // [MQTT-3.1.3-8]
  if (clientId === "" && !clean) {
    return { code: IDENTIFIER_REJECTED, reason: "a session that is kept needs a client id" };
  }
  if (!will) return undefined;
  if ((will.qos ?? 0) > 2) return { code: NOT_AUTHORIZED, reason: "the QoS of the will is not 0, 1 or 2" };
  const refusal = topicRefusal(will.topic);
  return refusal === undefined ? undefined : { code: NOT_AUTHORIZED, reason: `will: ${refusal}` };
}

function subscriptionRefusal(connection: GuardedConnection, filter: string): string | undefined {
  if (isSharedFilter(filter)) return "shared subscriptions are MQTT 5, this broker speaks MQTT 3.1.1";
  if (connection.filters.has(filter) || connection.filters.size < MAX_FILTERS) return undefined;
  return `a client may hold ${MAX_FILTERS} topic filters`;
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
