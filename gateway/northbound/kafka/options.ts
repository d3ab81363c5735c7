import { z } from "zod";
import { acceptFromQueues } from "../../core/options/accept.ts";
import { duration, secretRef, size } from "../../core/options/units.ts";

const HOST_PORT = /^(?:\[[0-9a-fA-F:]+\]|[^\s:/[\]]+):([0-9]{1,5})$/;

const broker = z
  .string({ error: "host:port is needed, such as kafka-1.example.com:9092" })
  .refine((text) => Number(HOST_PORT.exec(text)?.[1] ?? 0) > 0 && Number(HOST_PORT.exec(text)?.[1]) < 65_536, {
    error: "must be host:port, such as kafka-1.example.com:9092",
  });

const tls = z
  .strictObject({
    ca: z.string().min(1).optional().describe("PEM file of the authorities to trust; the system's when absent."),
    cert: z.string().min(1).optional().describe("PEM file of the client certificate, with its chain."),
    key: z.string().min(1).optional().describe("PEM file of the private key of `cert`."),
    servername: z.string().min(1).optional().describe("Name the brokers' certificates must show, and SNI."),
  })
  .describe("With it, TLS at least 1.2, always verified; {} trusts the system's authorities.");

const sasl = z
  .strictObject({
    mechanism: z.enum(["plain", "scram-sha-256", "scram-sha-512"]).describe("How the password is proved."),
    username: z.string().min(1).describe("User name."),
    password: secretRef.describe("Password."),
  })
  .describe("Whom the cluster takes us for; nobody when absent.");

const whole = (least: number, most: number) => z.number().int().min(least).max(most);

/** Keys of a Kafka uplink beside the shared ones and `type`. */
export const kafkaSchema = z.strictObject({
  brokers: z.array(broker).min(1).max(32).describe("Brokers to begin with, host:port each; the others are found."),
  clientId: z
    .string()
    .min(1)
    .max(249)
    .optional()
    .describe("Name of this client; millrace-<gateway>-<uplink> when absent."),
  tls: tls.optional(),
  sasl: sasl.optional(),
  kafkaTopic: z
    .string()
    .min(1)
    .max(249)
    .default("millrace")
    .describe(
      "Topic in the cluster. {topic} is the whole topic of a message with dots for slashes, {1} to {9} one of its levels, {gateway} the gateway.",
    ),
  declare: z.boolean().default(false).describe("Make a topic that is not there; false leaves the cluster as it is."),
  partitions: whole(1, 10_000)
    .optional()
    .describe("With `declare`: partitions of a new topic; the cluster's default when absent."),
  replication: whole(1, 32)
    .optional()
    .describe("With `declare`: copies of each partition; the cluster's default when absent."),
  compression: z.enum(["none", "gzip"]).default("none").describe("Of whole batches."),
  idempotent: z
    .boolean()
    .default(true)
    .describe(
      "What is sent again over one connection is stored once; needs the right IdempotentWrite on old clusters.",
    ),
  batch: z
    .strictObject({
      count: whole(1, 100_000).default(500).describe("Messages of one request at most."),
      bytes: size(1024).prefault("512KiB").describe("Their bytes."),
      linger: duration(0, 10_000).prefault("20ms").describe("How long the first one waits for company."),
    })
    .prefault({})
    .describe("Requests; one is under way at a time, so that order holds."),
  connectTimeout: duration(100, 300_000)
    .prefault("10s")
    .describe("Time for the connection and its handshakes together."),
  ackTimeout: duration(500, 600_000)
    .prefault("30s")
    .describe("Time for a request, repeated ones included; then the connection is made anew."),
  inFlight: whole(1, 1_000_000)
    .default(2000)
    .describe("Messages without an acknowledgement at once; the bound of duplicates."),
  maxMessage: size(256)
    .prefault("976KiB")
    .describe("Bytes of one message at most; the default of brokers is 1 MiB in all."),
  group: z.string().min(1).max(249).optional().describe("Consumer group of `accept`; millrace-<gateway> when absent."),
  accept: acceptFromQueues({
    topic: z
      .string()
      .min(1)
      .max(249)
      .describe(
        "Topic to read; it must be there. A message with the key line-1 in the topic plan has the topic plan/line-1 here.",
      ),
  }),
});
export type KafkaOptions = z.output<typeof kafkaSchema>;
