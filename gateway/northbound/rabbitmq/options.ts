import { z } from "zod";
import { acceptFromQueues } from "../../core/options/accept.ts";
import { duration, secretRef, size } from "../../core/options/units.ts";

const url = z
  .string({ error: "a URL is needed, such as amqps://rabbit.example.com/plant" })
  .superRefine((text, context) => {
    const fault = urlFault(text);
    if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
  })
  .describe("Where the server is: amqp:// (port 5672) or amqps:// (TLS, port 5671); the path is the virtual host.");

const tls = z
  .strictObject({
    ca: z.string().min(1).optional().describe("PEM file of the authorities to trust; the system's when absent."),
    cert: z.string().min(1).optional().describe("PEM file of the client certificate, with its chain."),
    key: z.string().min(1).optional().describe("PEM file of the private key of `cert`."),
    servername: z.string().min(1).optional().describe("Name the server's certificate must show, and SNI."),
  })
  .describe("TLS is at least 1.2 and always verified; files are read anew for each connection.");

const shortName = z.string().min(1).max(255);

/** Keys of a RabbitMQ uplink beside the shared ones and `type`. */
export const rabbitSchema = z.strictObject({
  url,
  urls: z.array(url).max(8).default([]).describe("Further servers, tried in this order when the first cannot be used."),
  username: z.string().min(1).optional().describe("User name."),
  password: secretRef.optional().describe("Password."),
  tls: tls.optional(),
  exchange: shortName
    .default("millrace")
    .describe("Where messages are published to; it must be there, unless `declare` is true."),
  queue: shortName
    .optional()
    .describe("With `declare`: the queue that is made and bound to everything; named as the exchange when absent."),
  declare: z
    .boolean()
    .default(false)
    .describe(
      "Make a durable topic exchange and a quorum queue that refuses when it is full; false leaves the server as it is.",
    ),
  maxLength: z
    .number()
    .int()
    .min(1)
    .optional()
    .describe("With `declare`: messages that the queue holds; then it refuses, and they wait here."),
  unroutable: z
    .enum(["retry", "reject"])
    .default("retry")
    .describe("A message for which no queue is bound: kept and tried again with an alarm, or a dead letter."),
  heartbeat: duration(1000, 600_000).prefault("20s").describe("A dead server is found within about twice this time."),
  connectTimeout: duration(100, 300_000).prefault("10s").describe("Time for TCP, TLS and the handshake together."),
  ackTimeout: duration(100, 600_000)
    .prefault("30s")
    .describe(
      "Time for a confirm, not counting that in which the server is blocked; then the connection is made anew.",
    ),
  inFlight: z
    .number()
    .int()
    .min(1)
    .max(65_535)
    .default(500)
    .describe("Messages without a confirm at once; the bound of duplicates."),
  accept: acceptFromQueues({
    queue: shortName.describe(
      "Queue to read; it must be there. A routing key such as plan.line-1 is the topic plan/line-1.",
    ),
  }),
  prefetch: z
    .number()
    .int()
    .min(1)
    .max(10_000)
    .default(100)
    .describe("Messages of one queue of `accept` that are under way at once."),
  maxMessage: size(256).prefault("16MiB").describe("Bytes of one message at most; 16 MiB is what RabbitMQ 4 takes."),
});
export type RabbitOptions = z.output<typeof rabbitSchema>;

function urlFault(text: string): string | undefined {
  let parsed: URL;
  try {
    parsed = new URL(text);
  } catch {
    return "not a URL; write amqps://rabbit.example.com/plant";
  }
  if (parsed.protocol !== "amqp:" && parsed.protocol !== "amqps:") return "must begin with amqp:// or amqps://";
  if (parsed.hostname === "") return "names no host";
  if (parsed.username !== "" || parsed.password !== "")
    return "user and password have their own keys: username, password";
  if (parsed.search !== "" || parsed.hash !== "") return "ends after the virtual host";
  if (parsed.pathname.slice(1).includes("/")) return 'a virtual host with "/" in it is written with %2F';
  return undefined;
}

/** Host, port and virtual host. */
export function placeOf(text: string): { secure: boolean; host: string; port: number; vhost: string } {
  const { protocol, hostname, port, pathname } = new URL(text);
  const secure = protocol === "amqps:";
  const path = pathname.slice(1);
  return {
    secure,
    host: hostname.replace(/^\[|\]$/g, ""),
    port: port === "" ? (secure ? 5671 : 5672) : Number(port),
    vhost: path === "" ? "/" : decodeURIComponent(path),
  };
}
