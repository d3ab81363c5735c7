import { z } from "zod";
import type { StoreStats } from "../../core/inspect.ts";
import { wearSchema } from "../wear.ts";

/** What a gateway answers on its control socket; whatever else is in there is kept. */
const stream = z.looseObject({
  nextSeq: z.number(),
  epoch: z.number(),
  segments: z.number(),
  bytes: z.number(),
  appended: z.number(),
  oldestWallMs: z.number().optional(),
});
const debt = z.looseObject({
  depth: z.number(),
  bytes: z.number(),
  lastTaken: z.number(),
  lastAcked: z.number(),
  oldestWallMs: z.number().optional(),
});
const perStream = <T extends z.ZodType>(of: T) => z.looseObject({ events: of, telemetry: of });

const statsSchema = z.looseObject({
  running: z.boolean(),
  now: z.number(),
  quarantine: z.object({ segments: z.number(), bytes: z.number() }),
  unclean: z.boolean().optional(),
  streams: perStream(stream),
  uplinks: z.array(
    z.looseObject({
      name: z.string(),
      chain: z.string(),
      streams: perStream(debt),
      gapsPending: z.number(),
      lost: z.number().optional(),
      configured: z.boolean().optional(),
      secondsToDrain: z.number().optional(),
    }),
  ),
  bytes: z.number(),
  maxBytes: z.number(),
  bytesWritten: z.number(),
  bytesAppended: z.number(),
  secondsToFull: z.number().optional(),
  secondsToDrain: z.number().optional(),
  dropped: z.number(),
  quarantined: z.number(),
  wear: wearSchema.optional(),
  healthy: z.boolean(),
});

export const forgottenSchema = z.object({
  uplink: z.string(),
  records: z.number(),
  bytes: z.number(),
  told: z.boolean(),
});

const held = z.object({ records: z.number(), from: z.number(), to: z.number() });
export const snapshotSchema = z.object({
  folder: z.string(),
  store: z.string(),
  epoch: z.number(),
  streams: z.object({ events: held, telemetry: held }),
  uplinks: z.array(z.object({ name: z.string(), owed: z.number() })),
});

/** Whether an answer is what `stats` of an inspector gives, whatever else is in it. */
export function isStats(answer: unknown): answer is StoreStats {
  return statsSchema.safeParse(answer).success;
}
