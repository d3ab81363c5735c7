import { z } from "zod";
import { duration } from "./units.ts";

/** `commands` of the configuration. */
export const commandOptions = z.strictObject({
  topic: z
    .string()
    .refine(
      (text) => text !== "" && !/[+#]/.test(text) && !text.split("/").includes(""),
      "a topic without wildcards, such as cmd",
    )
    .default("cmd")
    .describe("Commands come on {topic}/{device}/write, their results go out on {topic}/{device}/result."),
  maxAhead: duration(1000, 30 * 86_400_000)
    .prefault("1d")
    .describe("A command that expires later than this from now is refused: whoever wrote it mistook the unit."),
});
export type CommandOptions = z.output<typeof commandOptions>;
