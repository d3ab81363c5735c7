import { z } from "zod";
import { mqttTls, mqttUrl } from "./mqtt-server.ts";
import { duration, secretRef, size } from "./units.ts";

/** The broker that is already there, in place of the embedded one. */
export const externalBroker = z
  .strictObject({
    url: mqttUrl.describe(
      "In place of the embedded broker: one that is already there. mqtt://, mqtts://, ws:// or wss://; `external: URL` alone will do.",
    ),
    urls: z
      .array(mqttUrl)
      .max(8)
      .default([])
      .describe("Further servers of the same cluster, tried in this order when the one of `url` cannot be used."),
    failBack: duration(100, 86_400_000)
      .prefault("5m")
      .describe("How often it is looked whether a server earlier in that order can be reached again."),
    clientId: z
      .string()
      .min(1)
      .max(128)
      .optional()
      .describe("The session is kept under it: this gateway's alone, never to change; millrace-<gateway> when absent."),
    username: z.string().min(1).optional().describe("User name."),
    password: secretRef.optional().describe("Password."),
    tls: mqttTls.optional(),
    version: z
      .union([z.literal(5), z.literal(4), z.literal("auto")], { error: '5, 4 (that is MQTT 3.1.1) or "auto"' })
      .default("auto")
      .describe("MQTT version; auto: 5, and 3.1.1 when the server refuses it."),
    keepalive: duration(1000, 1_200_000)
      .prefault("15s")
      .describe("Silence after which the server is asked; a dead one is found within one and a half times of it."),
    connectTimeout: duration(100, 300_000).prefault("10s").describe("Time for TCP, TLS and CONNACK together."),
    sessionExpiry: duration(60_000, 4_294_967_000)
      .prefault("7d")
      .describe(
        "How long the broker keeps for the gateway what comes while it is away (MQTT 5; 3.1.1: as it is set up).",
      ),
    receiveMaximum: z
      .number()
      .int()
      .min(1)
      .max(65_535)
      .default(100)
      .describe(
        "Messages taken before the first of them is acknowledged; the bound of duplicates. MQTT 5 tells the broker so.",
      ),
    maxPacket: size(1024)
      .prefault("1MiB")
      .refine((bytes) => bytes <= 268_435_460, "an MQTT packet has at most 256 MiB")
      .describe(
        "Greatest packet that is captured; a longer one is acknowledged, not stored, and told upstream as a gap.",
      ),
  })
  .describe("The gateway runs on a broker that is already there, in place of the embedded one; a URL alone will do.");
export type ExternalBrokerOptions = z.output<typeof externalBroker>;

/** The client id where none is configured. */
export function defaultClientId(gatewayId: string): string {
  return `millrace-${gatewayId}`;
}
