import { z } from "zod";
import { acceptFromQueues } from "../../core/options/accept.ts";
import { duration, secretRef, size } from "../../core/options/units.ts";

const url = z
  .string({ error: "a URL is needed, such as amqps://broker.example.com" })
  .superRefine((text, context) => {
    const fault = urlFault(text);
    if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
  })
  .describe("Where the broker is: amqp:// (port 5672) or amqps:// (TLS, port 5671).");

const tls = z
  .strictObject({
    ca: z.string().min(1).optional().describe("PEM file of the authorities to trust; the system's when absent."),
    cert: z.string().min(1).optional().describe("PEM file of the client certificate, with its chain."),
    key: z.string().min(1).optional().describe("PEM file of the private key of `cert`."),
    servername: z.string().min(1).optional().describe("Name the broker's certificate must show, and SNI."),
  })
  .describe("TLS is at least 1.2 and always verified; files are read anew for each connection.");

const address = z.string().min(1).max(1024);
const whole = (least: number, most: number) => z.number().int().min(least).max(most);

/** Keys of an ActiveMQ uplink beside the shared ones and `type`. */
export const activemqSchema = z.strictObject({
  url,
  urls: z.array(url).max(8).default([]).describe("Further brokers, tried in this order when the first cannot be used."),
  username: z.string().min(1).optional().describe("User name; anonymous when absent."),
  password: secretRef.optional().describe("Password."),
  tls: tls.optional(),
  address: address
    .default("millrace")
    .describe("Where messages go: a queue; with ActiveMQ Classic queue://name or topic://name, too."),
  kind: z
    .enum(["queue", "topic"])
    .optional()
    .describe("Asks for an address of this kind (Artemis); the broker's own rule when absent."),
  duplicateDetection: z
    .boolean()
    .default(false)
    .describe("The record id as _AMQ_DUPL_ID: Artemis drops what it already has."),
  idleTimeout: duration(1000, 600_000).prefault("30s").describe("A dead broker is found within this time."),
  connectTimeout: duration(100, 300_000).prefault("10s").describe("Time for TCP, TLS and the handshakes together."),
  ackTimeout: duration(100, 600_000)
    .prefault("30s")
    .describe("Time for the next acknowledgement; then the connection is made anew."),
  inFlight: whole(1, 65_535)
    .default(500)
    .describe("Messages without an acknowledgement at once, at most the broker's credit; the bound of duplicates."),
  maxMessage: size(256).prefault("10MiB").describe("Bytes of one message at most."),
  accept: acceptFromQueues({
    address: address.describe("Queue to read. A message has the topic of its subject, or else of this name, here."),
  }),
  prefetch: whole(1, 10_000).default(100).describe("Messages of one queue of `accept` that are under way at once."),
});
export type ActivemqOptions = z.output<typeof activemqSchema>;

function urlFault(text: string): string | undefined {
  let parsed: URL;
  try {
    parsed = new URL(text);
  } catch {
    return "not a URL; write amqps://broker.example.com";
  }
  if (parsed.protocol !== "amqp:" && parsed.protocol !== "amqps:") return "must begin with amqp:// or amqps://";
  if (parsed.hostname === "") return "names no host";
  if (parsed.username !== "" || parsed.password !== "")
    return "user and password have their own keys: username, password";
  if (parsed.search !== "" || parsed.hash !== "" || !["", "/"].includes(parsed.pathname)) return "ends after the port";
  return undefined;
}

export function placeOf(text: string): { secure: boolean; host: string; port: number } {
  const { protocol, hostname, port } = new URL(text);
  const secure = protocol === "amqps:";
  return { secure, host: hostname.replace(/^\[|\]$/g, ""), port: port === "" ? (secure ? 5671 : 5672) : Number(port) };
}
