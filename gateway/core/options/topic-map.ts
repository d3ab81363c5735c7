import { z } from "zod";

/** How an uplink names topics, besides `topic`. */
export const topicMapShape = {
  map: z
    .array(
      z.strictObject({
        from: z.string().min(1).describe("Topic filter of local topics; the first rule that matches counts."),
        to: z
          .string()
          .min(1)
          .describe("Topic upstream, in place of `topic`; {1}, {2} are what the wildcards of `from` stood for."),
      }),
    )
    .max(1000)
    .default([])
    .describe("Rules for single topics or branches, before `topic`."),
  topicLimits: z
    .strictObject({
      levels: z.number().int().min(1).max(100).default(100).describe("Levels of a topic upstream at most."),
      bytes: z.number().int().min(8).max(65_535).default(65_535).describe("Bytes of a topic upstream at most."),
      charset: z
        .enum(["utf8", "ascii"])
        .default("utf8")
        .describe("Characters the far side takes; with `ascii`, others of captured topics become `_`."),
    })
    .prefault({})
    .describe("What topics the far side takes; checked for every device at the start."),
} as const;

export interface TopicRule {
  /** A topic filter. */
  readonly from: string;
  /** A topic template. */
  readonly to: string;
}
export interface TopicLimits {
  readonly levels: number;
  readonly bytes: number;
  readonly charset: "utf8" | "ascii";
}
