import { z } from "zod";

/** `accept` of an uplink: what comes down. */
export const acceptOptions = z
  .array(
    z.strictObject({
      from: z.string().min(1).describe("Topic filter upstream; {gateway} is replaced."),
      to: z
        .string()
        .min(1)
        .optional()
        .describe(
          "Local topic; its wildcards, in the same order, are those of `from`. The same as upstream when absent.",
        ),
      qos: z
        .union([z.literal(0), z.literal(1)], { error: "0 or 1" })
        .default(1)
        .describe("With 1 it is acknowledged upstream when it is on disk here; with 0 it may be lost."),
      retain: z
        .enum(["strip", "keep"])
        .default("strip")
        .describe("What becomes of the retain flag on the local broker. A retained command is refused in any case."),
    }),
  )
  .max(100)
  .default([])
  .describe("Messages that come down: commands, and messages for the local broker.");

const entry = acceptOptions.unwrap().element;

/** The same of an uplink that reads queues or the like; `source` is the key that names one, with its schema. */
export function acceptFromQueues<Source extends z.ZodRawShape>(source: Source) {
  return z
    .array(
      z.strictObject({
        ...source,
        from: z
          .string()
          .min(1)
          .default("#")
          .describe("Which of its messages, as a topic filter; {gateway} is replaced. Others are refused."),
        to: entry.shape.to,
      }),
    )
    .max(100)
    .default([])
    .describe("Messages that come down: commands, and messages for the local broker.");
}

/** One entry with its placeholders resolved. */
export interface AcceptRule {
  /** A topic filter upstream. */
  readonly from: string;
  /** The local topic, with the wildcards of `from`. */
  readonly to: string;
  readonly qos: 0 | 1;
  readonly retain: "strip" | "keep";
}
