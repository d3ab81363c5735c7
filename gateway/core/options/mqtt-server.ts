import { z } from "zod";
import { duration } from "./units.ts";

/** What every connection to an MQTT server needs: of an uplink, and of the gateway to a broker that is already there. */

/** Where an MQTT server is. */
export const mqttUrl = z
  .string({ error: "a URL is needed, such as mqtts://broker.example.com:8883" })
  .superRefine((text, context) => {
    const fault = urlFault(text);
    if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
  })
  .describe(
    "Where the server is: mqtt:// (port 1883), mqtts:// (TLS, port 8883), ws:// (port 80) or wss:// (port 443), these with a path.",
  );

/** How TLS is made with an MQTT server. */
export const mqttTls = z
  .strictObject({
    ca: z.string().min(1).optional().describe("PEM file of the authorities to trust; the system's when absent."),
    cert: z.string().min(1).optional().describe("PEM file of the client certificate, with its chain."),
    key: z.string().min(1).optional().describe("PEM file of the private key of `cert`."),
    crl: z
      .string()
      .min(1)
      .optional()
      .describe("PEM file with the revocation lists of all authorities of the server's chain."),
    alpn: z
      .string()
      .min(1)
      .max(255)
      .optional()
      .describe("Protocol to ask for (ALPN), such as mqtt or x-amzn-mqtt-ca; the latter with aws-iot on port 443."),
    recheck: duration(100, 86_400_000)
      .prefault("1m")
      .describe("How often a running gateway looks for renewed files; they are tried before they are used."),
    servername: z.string().min(1).optional().describe("Name the server's certificate must show, and SNI."),
  })
  .describe("TLS is at least 1.2 and always verified; files are read anew for each connection.");
export type MqttTls = z.output<typeof mqttTls>;

const PORTS: Readonly<Record<string, number>> = { "mqtts:": 8883, "ws:": 80, "wss:": 443 };

/** What a URL of `mqttUrl` says. */
export function mqttPlace(text: string) {
  const url = new URL(text);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = url.port === "" ? (PORTS[url.protocol] ?? 1883) : Number(url.port);
  const web = url.protocol === "ws:" || url.protocol === "wss:";
  return { secure: url.protocol === "mqtts:" || url.protocol === "wss:", web, host, port };
}

function urlFault(text: string): string | undefined {
  let parsed: URL;
  try {
    parsed = new URL(text);
  } catch {
    return "not a URL; write mqtts://broker.example.com:8883";
  }
  const web = parsed.protocol === "ws:" || parsed.protocol === "wss:";
  if (!web && parsed.protocol !== "mqtt:" && parsed.protocol !== "mqtts:")
    return "must begin with mqtt://, mqtts://, ws:// or wss://";
  if (parsed.hostname === "") return "names no host";
  if (parsed.username !== "" || parsed.password !== "")
    return "user and password have their own keys: username, password";
  if (web && (parsed.search !== "" || parsed.hash !== "")) return "ends after the path";
  if (web) return undefined;
  if (!["", "/"].includes(parsed.pathname) || parsed.search !== "" || parsed.hash !== "") return "ends after the port";
  return undefined;
}
