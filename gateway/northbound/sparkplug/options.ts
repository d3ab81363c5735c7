import { z } from "zod";
import { mqttTls, mqttUrl } from "../../core/options/mqtt-server.ts";
import { duration, secretRef, size } from "../../core/options/units.ts";
import { checkId } from "./topics.ts";

const id = z.string({ error: "a name without +, / and # is needed" }).superRefine((text, context) => {
  try {
    checkId(text);
  } catch (error) {
    context.addIssue({ code: "custom", message: error instanceof Error ? error.message : "not an id" });
  }
});

/** Keys of a Sparkplug uplink beside the shared ones and `type`. */
export const sparkplugSchema = z.strictObject({
  url: mqttUrl,
  urls: z
    .array(mqttUrl)
    .max(8)
    .default([])
    .describe("Further servers, tried in this order when the one before cannot be used or lacks the primary host."),
  failBack: duration(100, 86_400_000)
    .prefault("5m")
    .describe(
      "How often it is looked whether a server earlier in that order can be reached again; not with `primaryHost`.",
    ),
  group: id.describe("Group id of the edge node."),
  node: id.optional().describe("Id of the edge node, unique in its group; the gateway's id when absent."),
  primaryHost: id
    .optional()
    .describe(
      "Host id of the primary host application; nothing is sent while its STATE does not say that it is online.",
    ),
  hostTimeout: duration(100, 86_400_000)
    .prefault("30s")
    .describe("With several servers: how long the STATE of the primary host is waited for on one of them."),
  afterBirth: duration(0, 60_000)
    .prefault("250ms")
    .describe("Pause between a birth and the data behind it: some hosts read births more slowly than data."),
  aliases: z.boolean().default(true).describe("Numbers in place of metric names after the birth."),
  dataQos: z
    .union([z.literal(0), z.literal(1)], { error: "0 as the standard demands, or 1" })
    .default(0)
    .describe(
      "Quality of service of NDATA and DDATA. 0 is the standard; 1 is beyond it, and has each message acknowledged.",
    ),
  messages: z
    .enum(["metrics", "reject"])
    .default("metrics")
    .describe("Captured messages: as metrics of the node, named by their topic, or refused (dead letters, and a gap)."),
  commandExpiry: duration(1000, 3_600_000)
    .prefault("30s")
    .describe("A command is refused when its timestamp is older; its host needs a clock that is right."),
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
    .union([z.literal(5), z.literal(4), z.literal("auto")], { error: '5, 4 (that is MQTT 3.1.1) or "auto"' })
    .default("auto")
    .describe("MQTT version; auto: 5, and 3.1.1 when the server refuses it."),
  keepalive: duration(1000, 1_200_000)
    .prefault("15s")
    .describe("Silence after which the server is asked; a dead one is found within one and a half times of it."),
  connectTimeout: duration(100, 300_000).prefault("10s").describe("Time for TCP, TLS, CONNACK and SUBACK together."),
  ackTimeout: duration(100, 600_000)
    .prefault("30s")
    .describe("Time in which the server must show that it has read what was sent; then the connection is made anew."),
  inFlight: z
    .number()
    .int()
    .min(1)
    .max(65_535)
    .default(512)
    .describe("Records of which the server has not yet shown that it has them, at once."),
  maxPacket: size(128).optional().describe("Bytes of one packet at most, where the server takes less than it says."),
});
export type SparkplugOptions = z.output<typeof sparkplugSchema>;
