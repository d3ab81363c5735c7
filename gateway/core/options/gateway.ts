import { z } from "zod";

const LEVEL = /^[^+#/\0\s]+$/;

/** One level of a topic: names of gateways, links, devices and uplinks. */
export const topicLevel = z
  .string()
  .min(1)
  .max(64)
  .regex(LEVEL, 'must be one topic level: no "/", "+", "#" and no spaces');

export const gatewayOptions = z.strictObject({
  id: topicLevel.describe("Name of this gateway: part of every record id and of the default topics."),
  dataDir: z.string().min(1).default("./data").describe("Where queue and state live; relative to the configuration."),
});
export type GatewayOptions = z.infer<typeof gatewayOptions>;

export const streamName = z.enum(["events", "telemetry"]);
