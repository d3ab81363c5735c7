import { z } from "zod";
import { duration, secretRef } from "../../core/options/units.ts";

const LATER = "not in this version";
const later = () => z.never({ error: LATER }).optional().describe("Not in this version.");

/** Keys that a later version knows. They are refused by name, so that nobody believes in them. */
export const plannedKeys = [
  "accept",
  "preset",
  "presets",
  "batch",
  "batching",
  "urls",
  "expiry",
  "topicAlias",
] as const;

const url = z
  .string({ error: "a URL is needed, such as mqtts://broker.example.com:8883" })
  .superRefine((text, context) => {
    const fault = urlFault(text);
    if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
  })
  .describe("Where the server is: mqtt:// (port 1883) or mqtts:// (TLS, port 8883).");

const tls = z
  .strictObject({
    ca: z.string().min(1).optional().describe("PEM file of the authorities to trust; the system's when absent."),
    cert: z.string().min(1).optional().describe("PEM file of the client certificate, with its chain."),
    key: z.string().min(1).optional().describe("PEM file of the private key of `cert`."),
    servername: z.string().min(1).optional().describe("Name the server's certificate must show, and SNI."),
  })
  .describe("TLS is at least 1.2 and always verified; files are read anew for each connection.");

/** Keys of an MQTT uplink beside the shared ones and `type`. */
export const mqttSchema = z.strictObject({
  url,
  clientId: z
    .string()
    .min(1)
    .max(128)
    .optional()
    .describe("Must be this connection's alone; millrace-<gateway>-<uplink> when absent."),
  username: z.string().min(1).optional().describe("User name."),
  password: secretRef.optional().describe("Password."),
  tls: tls.optional(),
  version: z
    .union([z.literal(5), z.literal(4), z.literal("auto")], {
      error: '5, 4 (that is MQTT 3.1.1) or "auto"',
    })
    .default("auto")
    .describe("MQTT version; auto: 5, and 3.1.1 when the server refuses it."),
  keepalive: duration(1000, 1_200_000)
    .prefault("15s")
    .describe("Silence after which the server is asked; a dead one is found within one and a half times of it."),
  connectTimeout: duration(100, 300_000).prefault("10s").describe("Time for TCP, TLS and CONNACK together."),
  ackTimeout: duration(100, 600_000).prefault("30s").describe("Time for a PUBACK; then the connection is made anew."),
  inFlight: z
    .number()
    .int()
    .min(1)
    .max(65_535)
    .default(64)
    .describe("Messages without acknowledgement at once, at most what the server allows; the bound of duplicates."),
  qos: z
    .literal(1, { error: "1: 0 would not be at least once, and 2 is not in this version" })
    .default(1)
    .describe("Quality of service; records are always acknowledged."),
  retain: z.enum(["keep", "strip"]).default("keep").describe("What becomes of the retain flag of captured messages."),
  envelope: z
    .union([z.literal("auto"), z.boolean()], { error: 'true, false or "auto"' })
    .default("auto")
    .describe("Record id and prev in the body; auto: only where user properties do not travel (MQTT 3.1.1)."),
  encoder: z
    .literal("values", { error: `only "values"; the others are ${LATER}` })
    .default("values")
    .describe("Format of the body."),
  accept: later(),
  preset: later(),
  presets: later(),
  batch: later(),
  batching: later(),
  urls: later(),
  expiry: later(),
  topicAlias: later(),
});
export type MqttOptions = z.output<typeof mqttSchema>;

function urlFault(text: string): string | undefined {
  let parsed: URL;
  try {
    parsed = new URL(text);
  } catch {
    return "not a URL; write mqtts://broker.example.com:8883";
  }
  if (parsed.protocol === "ws:" || parsed.protocol === "wss:")
    return `${parsed.protocol}// is ${LATER}; mqtt:// or mqtts://`;
  if (parsed.protocol !== "mqtt:" && parsed.protocol !== "mqtts:") return "must begin with mqtt:// or mqtts://";
  if (parsed.hostname === "") return "names no host";
  if (parsed.username !== "" || parsed.password !== "")
    return "user and password have their own keys: username, password";
  if (!["", "/"].includes(parsed.pathname) || parsed.search !== "" || parsed.hash !== "") return "ends after the port";
  return undefined;
}
