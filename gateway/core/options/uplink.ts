import { z } from "zod";
import { topicLevel } from "./gateway.ts";
import { topicMapShape } from "./topic-map.ts";
import { duration, size } from "./units.ts";

/** Keys that every kind of uplink shares; a kind's own keys are merged in beside them. */
export const uplinkShape = {
  name: topicLevel.describe("Name of the uplink; its cursor is kept under it."),
  select: z.array(z.string().min(1)).min(1).default(["#"]).describe("Topic filters of the records it is sent."),
  topic: z
    .string()
    .min(1)
    .default("{topic}")
    .describe("Topic upstream: {gateway}, {topic}, {topic[2]}, {link}, {device}, {group} and {tag} are replaced."),
  ...topicMapShape,
  from: z.enum(["oldest", "now"]).default("oldest").describe("Where an uplink begins that the store has never seen."),
  required: z.boolean().default(true).describe("Whether it may cause `refuse`; any other is given a gap alone."),
  maxBacklog: z
    .strictObject({
      bytes: size(64 * 1024)
        .optional()
        .describe("Stored bytes it may be owed at most; at least 2 segments. The oldest telemetry is given up first."),
      age: duration(60_000)
        .optional()
        .describe(
          "What it is owed is given up when the gateway has run so long since it was stored, or up to 1/8 longer.",
        ),
      retain: duration(60_000)
        .optional()
        .describe(
          "Once the uplink is out of the configuration, what it is owed is given up when the gateway has run so long; without it, never.",
        ),
    })
    .default({})
    .describe("What it may be owed at most. What is over is told to it as a gap, and kept for other uplinks."),
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
  deadLetters: z
    .strictObject({
      bytes: size(64 * 1024)
        .prefault("16MiB")
        .describe("Bytes of dead letters kept; the oldest go first."),
      age: duration(60_000).prefault("30d").describe("How long they are kept."),
    })
    .prefault({})
    .describe("Records that the far side refuses for good are kept in the data folder, and told upstream as a gap."),
} as const;
