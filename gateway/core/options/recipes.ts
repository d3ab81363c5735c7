import { z } from "zod";
import { topicLevel } from "./gateway.ts";
import { duration } from "./units.ts";

const value = z.union([z.number(), z.boolean(), z.string()], { error: "a value is a number, true, false or a text" });
const tag = z.string().min(1);

/** `recipes` of the configuration. */
export const recipeOptions = z
  .array(
    z.strictObject({
      name: topicLevel.describe("Name of the recipe; commands name it."),
      device: z.string().min(1).describe("The device it is for."),
      trigger: z
        .strictObject({
          tag: tag.describe("The recipe begins when this tag of the device comes to hold `equals`."),
          equals: value.describe("A number, true, false or a text."),
          atStart: z
            .boolean()
            .default(false)
            .describe("Begin too when the tag holds it already at the gateway's start."),
        })
        .optional()
        .describe("What it begins with; by command alone when absent."),
      values: z
        .record(z.string(), value)
        .default({})
        .describe("Tags and what is always written to them, in this order."),
      parameters: z
        .array(tag)
        .max(200)
        .default([])
        .describe("Tags that a command must give values for; written after `values`, in this order."),
      ready: z
        .strictObject({
          tag: tag.describe("Tag that is written when all values were, and read back."),
          value: value.default(1).describe("What is written to it."),
          reset: value.optional().describe("What is written to it when the PLC has answered, or did not in time."),
        })
        .optional()
        .describe("How the PLC is told that the values are there."),
      done: z
        .strictObject({
          tag: tag.describe("Tag that the PLC sets when it has taken the values."),
          value: value.default(1).describe("What it then holds."),
        })
        .optional()
        .describe("How the PLC tells that it has taken them."),
      within: duration(100, 3_600_000)
        .prefault("30s")
        .describe("How long it may take to answer; a recipe does not begin later than this after its trigger."),
    }),
  )
  .max(1000)
  .prefault([]);
export type RecipeOptions = z.output<typeof recipeOptions>;
