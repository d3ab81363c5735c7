import { z } from "zod";
import { acceptOptions } from "../../core/options/accept.ts";
import { mqttTls, mqttUrl } from "../../core/options/mqtt-server.ts";
import { duration, secretRef, size } from "../../core/options/units.ts";
import { PRESETS, type Preset, presetOf } from "./presets.ts";

const LATER = "not in this version";
const later = () => z.never({ error: LATER }).optional().describe("Not in this version.");

/** Keys that a later version knows. They are refused by name, so that nobody believes in them. */
export const plannedKeys = ["presets", "batching"] as const;

/** Keys of an MQTT uplink beside the shared ones and `type`. */
export const mqttSchema = z.strictObject({
  url: mqttUrl,
  urls: z
    .array(mqttUrl)
    .max(8)
    .default([])
    .describe("Further servers, tried in this order when the one of `url` cannot be used."),
  failBack: duration(100, 86_400_000)
    .prefault("5m")
    .describe("How often it is looked whether a server earlier in that order can be reached again."),
  clientId: z
    .string()
    .min(1)
    .max(128)
    .optional()
    .describe("Must be this connection's alone; millrace-<gateway>-<uplink> when absent."),
  username: z.string().min(1).optional().describe("User name."),
  password: secretRef.optional().describe("Password."),
  tls: mqttTls.optional(),
  version: z
    .union([z.literal(5), z.literal(4), z.literal("auto")], {
      error: '5, 4 (that is MQTT 3.1.1) or "auto"',
    })
    .optional()
    .describe(
      "MQTT version; auto (the default): 5, and 3.1.1 when the server refuses it, or closes on it again and again.",
    ),
  preset: z
    .enum(PRESETS)
    .default("generic")
    .describe("Limits of a kind of server; they may be set lower, and higher with a warning."),
  keepalive: duration(1000, 1_200_000)
    .optional()
    .describe(
      "Silence after which the server is asked; a dead one is found within one and a half times of it. 15s, or the preset's.",
    ),
  connectTimeout: duration(100, 300_000).prefault("10s").describe("Time for TCP, TLS and CONNACK together."),
  ackTimeout: duration(100, 600_000).prefault("30s").describe("Time for a PUBACK; then the connection is made anew."),
  inFlight: z
    .number()
    .int()
    .min(1)
    .max(65_535)
    .optional()
    .describe(
      "Messages without acknowledgement at once, at most what the server allows; the bound of duplicates. 64, or the preset's.",
    ),
  maxPacket: size(128)
    .optional()
    .describe("Bytes of one packet at most, where the server takes less than it says; the preset's when absent."),
  batch: z
    .strictObject({
      count: z
        .number()
        .int()
        .min(1)
        .max(10_000)
        .default(200)
        .describe("Records in one message at most; 1: no batches."),
      bytes: size(256).prefault("64KiB").describe("Bytes of its body at most."),
      linger: duration(0, 60_000).prefault("1s").describe("How long the first record waits for company."),
      gzip: z
        .boolean()
        .default(false)
        .describe("Compress the body where that makes it smaller; told by the user property content-encoding: gzip."),
    })
    .optional()
    .describe("Several scans of one device in one message: a JSON array. Only with presets that need it, when absent."),
  qos: z
    .literal(1, { error: "1: 0 would not be at least once, and 2 is not in this version" })
    .default(1)
    .describe("Quality of service; records are always acknowledged."),
  retain: z
    .enum(["keep", "strip"])
    .optional()
    .describe("What becomes of the retain flag of captured messages; keep, or the preset's."),
  envelope: z
    .union([z.literal("auto"), z.boolean()], { error: 'true, false or "auto"' })
    .default("auto")
    .describe("Record id and prev in the body; auto: only where user properties do not travel (MQTT 3.1.1)."),
  accept: acceptOptions,
  sessionExpiry: duration(60_000, 4_294_967_000)
    .prefault("7d")
    .describe("With `accept`: how long the server keeps what comes down while there is no connection (MQTT 5)."),
  presets: later(),
  batching: later(),
  expiry: duration(1000, 4_294_967_000)
    .optional()
    .describe("Time after which the server may drop what nobody fetched (message expiry, MQTT 5 only)."),
  topicAlias: z
    .boolean()
    .default(false)
    .describe("Topics are sent once and then as numbers, as many as the server takes (MQTT 5 only)."),
});
export type MqttOptions = z.output<typeof mqttSchema>;

/** Options with what the preset says in place of what is not set. */
export interface EffectiveOptions extends MqttOptions {
  readonly version: NonNullable<MqttOptions["version"]>;
  readonly keepalive: number;
  readonly inFlight: number;
  readonly retain: "keep" | "strip";
  readonly maxPacket: number | undefined;
}

export function effective(options: MqttOptions): EffectiveOptions {
  const preset: Preset = presetOf(options);
  return {
    ...options,
    version: options.version ?? preset.version,
    keepalive: options.keepalive ?? preset.keepalive.usualMs,
    inFlight: options.inFlight ?? preset.inFlight,
    retain: options.retain ?? preset.retain,
    maxPacket: options.maxPacket ?? preset.maxBytes,
  };
}

/** Stable, so that the server knows us again. */
export function clientIdOf({ clientId }: Pick<MqttOptions, "clientId">, gatewayId: string, uplink: string): string {
  return clientId ?? `millrace-${gatewayId}-${uplink}`;
}
