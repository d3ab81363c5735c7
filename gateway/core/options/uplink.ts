import { z } from "zod";
import { topicLevel } from "./gateway.ts";
import { duration, size } from "./units.ts";

/** Keys that every kind of uplink shares; a kind's own keys are merged in beside them. */
export const uplinkShape = {
  name: topicLevel.describe("Name of the uplink; its cursor is kept under it."),
  select: z.array(z.string().min(1)).min(1).default(["#"]).describe("Topic filters of the records it is sent."),
  topic: z
    .string()
    .min(1)
    .default("{topic}")
    .describe("Topic upstream: {gateway} and {topic} are replaced by the gateway's id and the record's topic."),
  from: z.enum(["oldest", "now"]).default("oldest").describe("Where an uplink begins that the store has never seen."),
  required: z.boolean().default(true).describe("Whether it may cause `refuse`; any other is given a gap alone."),
  maxBacklog: z
    .strictObject({
      bytes: size(1024 * 1024)
        .optional()
        .describe("Bytes that may wait for this uplink at most; the oldest segments go, telemetry before events."),
      age: duration(60_000).optional().describe("How long anything may wait for this uplink at most."),
    })
    .default({})
    .describe("What may wait for this uplink; what is over becomes a gap of this uplink alone (`retention`)."),
  order: z
    .enum(["fifo", "live-first"])
    .default("fifo")
    .describe("`live-first`: after a connection began, new records go at once, and what was owed before beside them."),
  maxRate: z
    .strictObject({
      messages: z.number().int().min(1).optional().describe("Messages sent per second at most."),
      bytes: size(1024).optional().describe("Bytes sent per second at most."),
    })
    .default({})
    .describe("What the uplink may be sent per second; without it, what the link and the far side take."),
} as const;
