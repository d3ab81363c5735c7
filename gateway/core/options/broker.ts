import { z } from "zod";
import { parsePasswordHash } from "../password-hash.ts";
import { externalBroker } from "./external-broker.ts";
import { streamName } from "./gateway.ts";
import { duration, secretRef, size } from "./units.ts";

/** What a TLS listener, and a WebSocket, have beside host and port is checked where the whole file is known. */
export const listenerOptions = z.strictObject({
  type: z
    .enum(["tcp", "tls", "ws", "wss"])
    .default("tcp")
    .describe("Transport: MQTT over TCP, TLS, a WebSocket, or a WebSocket over TLS."),
  host: z.string().min(1).default("127.0.0.1").describe("Address to listen on; only loopback may be anonymous."),
  port: z.number().int().min(0).max(65_535).default(1883).describe("TCP port; 0 takes a free one."),
  cert: z
    .string()
    .min(1)
    .optional()
    .describe("With tls and wss: PEM file of the server's certificate, with its chain."),
  key: z.string().min(1).optional().describe("With tls and wss: PEM file of its private key."),
  ca: z
    .string()
    .min(1)
    .optional()
    .describe(
      "With tls and wss: PEM file of the authorities whose client certificates are a login; the CN is the user.",
    ),
  requireClientCert: z.boolean().default(false).describe("Nobody comes in without such a certificate."),
  path: z
    .string()
    .regex(/^\/[^\s?#]*$/, "must begin with / and end before ? and #")
    .optional()
    .describe("With ws and wss: path of the WebSocket; `/mqtt` when absent."),
  origins: z
    .array(z.string().min(1))
    .default([])
    .describe("With ws and wss: web origins whose pages may connect, such as `http://hmi.local`; none when empty."),
});
export type ListenerOptions = z.infer<typeof listenerOptions>;

export const brokerLimits = z.strictObject({
  maxPacket: size(128).prefault("256KiB").describe("Greatest MQTT packet a client may announce."),
  maxConnectPacket: size(128).prefault("16KiB").describe("Greatest CONNECT, with its will."),
  connectTimeout: duration(100, 60_000).prefault("10s").describe("Time for a complete CONNECT after the connection."),
  maxConnections: z.number().int().min(1).default(500).describe("Connections in all."),
  maxConnectionsPerAddress: z
    .number()
    .int()
    .min(1)
    .default(20)
    .describe("Connections from one address; all programs on this machine have the same one."),
  takeoverEvery: duration(0, 60_000)
    .prefault("1s")
    .describe("A connection is replaced by another one with its client id at most this often."),
  maxMessageRate: z
    .number()
    .int()
    .min(1)
    .default(5000)
    .describe("Packets a second that are read of one client; what is more waits in its socket."),
  maxInflight: z
    .number()
    .int()
    .min(1)
    .max(100)
    .default(100)
    .describe("QoS 2 messages a client may have sent and not released."),
  maxSubscriptions: z.number().int().min(1).max(500).default(50).describe("Topic filters one client may hold."),
  maxTopicLevels: z.number().int().min(1).max(100).default(20).describe("Levels of a topic or filter of a client."),
  maxTopicBytes: z.number().int().min(1).max(65_535).default(512).describe("Bytes of a topic or filter of a client."),
  minKeepalive: duration(1000, 65_535_000).prefault("5s").describe("A shorter keepalive counts as this."),
  maxKeepalive: duration(1000, 65_535_000)
    .prefault("5m")
    .describe("A longer one, or none, counts as this: who is silent for one and a half of it is gone."),
  slowTimeout: duration(500, 60_000).prefault("8s").describe("A client that does not read for so long is cut."),
});
export type BrokerLimits = z.infer<typeof brokerLimits>;

const filters = z.array(z.string().min(1)).default([]);

const grants = {
  publish: filters.describe(
    "Topic filters it may publish to; `%u` is the user name, `%c` the client id. None when empty.",
  ),
  subscribe: filters.describe("Topic filters it may subscribe to and get messages of, with `%u` and `%c`."),
  deny: filters.describe("Topic filters of which it may do neither, whatever else is granted; without placeholders."),
};
/** What a client may do, by topic filters. */
export type Grants = Readonly<Record<keyof typeof grants, readonly string[]>>;

const PASSWORD_FORM =
  "a password stands here as its hash, which millrace passwd makes, or as { file: path } or { env: NAME } that holds the hash; never as text";

export const userOptions = z.strictObject({
  name: z
    .string()
    .min(1)
    .max(128)
    .regex(/^[^+#/%\p{Cc}]+$/u, "must be without / + # % and control characters")
    .describe("User name, or the CN of its client certificate."),
  password: z
    .union([z.string().refine((text) => parsePasswordHash(text) !== undefined, PASSWORD_FORM), secretRef], {
      error: PASSWORD_FORM,
    })
    .optional()
    .describe("Its hash, made by `millrace passwd`, or where the hash is kept. Without it only a certificate lets in."),
  ...grants,
});
export type UserOptions = z.infer<typeof userOptions>;

export const sessionOptions = z.strictObject({
  maxSessions: z
    .number()
    .int()
    .min(1)
    .default(1000)
    .describe("Sessions; the one without a client for longest makes room."),
  maxMessages: z.number().int().min(1).max(60_000).default(1000).describe("Messages that wait for one client."),
  maxBytes: size(1024).prefault("1MiB").describe("Their bytes."),
  maxTotalBytes: size(1024).prefault("64MiB").describe("Bytes of all that wait."),
  maxAge: duration(1000).prefault("30d").describe("How long a message waits for its client."),
  expiry: duration(1000).prefault("30d").describe("How long a session waits for its client."),
});

export const retainedOptions = z.strictObject({
  maxMessages: z.number().int().min(0).default(10_000).describe("Retained messages."),
  maxBytes: size(0).prefault("16MiB").describe("Their bytes."),
});

export const brokerOptions = z.strictObject({
  listeners: z.array(listenerOptions).prefault([{}]).describe("Where local clients connect."),
  users: z.array(userOptions).default([]).describe("Who may connect, and to which topics."),
  anonymous: z
    .strictObject(grants)
    .optional()
    .describe(
      "What programs on this machine may do without a user; everything when it is absent and there are no users.",
    ),
  limits: brokerLimits.prefault({}).describe("What clients may cost."),
  sessions: sessionOptions
    .prefault({})
    .describe(
      "What is kept on disk for clients that connect with clean session 0; beyond it, what is new is not kept, and told.",
    ),
  retained: retainedOptions
    .prefault({})
    .describe("Retained messages kept on disk; beyond it a new one is only passed on."),
  sys: duration(1000, 3_600_000)
    .optional()
    .describe(
      "How often figures of the embedded broker are published under `$SYS/broker`, for users who may subscribe there; never when absent.",
    ),
  external: externalBroker.optional(),
});
export type BrokerOptions = z.infer<typeof brokerOptions>;

export const captureRule = z.strictObject({
  topics: z.array(z.string().min(1)).min(1).describe("Topic filters of local messages that go into the queue."),
  stream: streamName.default("events").describe("The stream they go into."),
});
export const captureOptions = z.array(captureRule).prefault([]);
export type CaptureOptions = z.infer<typeof captureOptions>;
