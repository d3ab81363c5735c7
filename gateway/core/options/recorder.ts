import { z } from "zod";
import { duration, size } from "./units.ts";

/** The flight recorder of a link. */
export const recorderOptions = z.strictObject({
  off: z.boolean().default(false).describe("Record nothing."),
  size: size(65_536).prefault("1MiB").describe("Memory for what passed last; taken as it fills."),
  age: duration(1_000, 86_400_000).prefault("10m").describe("What is older is not kept."),
  onFault: z
    .boolean()
    .default(true)
    .describe(
      "Write it to `{dataDir}/recordings` when a device stops answering, the connection is lost, or a frame is malformed or foreign; at most every 5 minutes.",
    ),
});

export type RecorderOptions = z.infer<typeof recorderOptions>;
