import { z } from "zod";
import { wearSchema } from "../wear.ts";

/**
 * What `GET /status` answers, as far as this program reads it. Whatever else is in there is kept for `--json`, so a
 * newer gateway can say more.
 */
const streamDebt = z.looseObject({
  depth: z.number(),
  bytes: z.number(),
  lastTaken: z.number(),
  lastAcked: z.number(),
  oldestWallMs: z.number().optional(),
});

const streamHeld = z.looseObject({
  segments: z.number(),
  bytes: z.number(),
  nextSeq: z.number(),
  oldestWallMs: z.number().optional(),
});

const queueUplink = z.looseObject({
  name: z.string(),
  streams: z.looseObject({ events: streamDebt, telemetry: streamDebt }),
  gapsPending: z.number(),
});

const device = z.looseObject({
  name: z.string(),
  state: z.string(),
  /** Unix milliseconds of the last change of state. */
  since: z.number().optional(),
  loadPercent: z.number().optional(),
  overruns: z.number().optional(),
  timeouts: z.number().optional(),
  errors: z.number().optional(),
});

/** Only of a broker that is already there; the embedded one has no `external`. */
const broker = z.looseObject({
  external: z.array(z.string()).optional(),
  state: z.string().optional(),
  sinceMs: z.number().optional(),
  server: z.string().optional(),
  lastError: z.string().optional(),
  alarm: z.string().optional(),
  captured: z.number().optional(),
  pending: z.number().optional(),
  holding: z.boolean().optional(),
  sessionsLost: z.number().optional(),
});

export const statusReport = z.looseObject({
  gateway: z.string(),
  broker: broker.optional(),
  clock: z.string().optional(),
  health: z.looseObject({ ok: z.boolean(), reasons: z.array(z.string()) }),
  links: z
    .array(
      z.looseObject({
        name: z.string(),
        state: z.string(),
        since: z.number().optional(),
        loadPercent: z.number().optional(),
        lastError: z.string().optional(),
        devices: z.array(device).default([]),
      }),
    )
    .default([]),
  /** `QueueStats` of core/queue.ts. */
  queue: z.looseObject({
    bytes: z.number(),
    maxBytes: z.number(),
    dropped: z.number(),
    quarantined: z.number(),
    secondsToFull: z.number().optional(),
    secondsToDrain: z.number().optional(),
    uplinks: z.array(queueUplink),
    streams: z.looseObject({ events: streamHeld, telemetry: streamHeld }).optional(),
    wear: wearSchema.optional(),
  }),
  /** The forwarders. */
  uplinks: z
    .array(
      z.looseObject({
        name: z.string(),
        state: z.string(),
        /** Unix milliseconds of the last change of state. */
        sinceMs: z.number().optional(),
        inFlight: z.number().optional(),
        lastError: z.string().optional(),
        alarm: z.string().optional(),
        deadLetters: z.looseObject({ records: z.number() }).optional(),
      }),
    )
    .default([]),
});
export type StatusReport = z.infer<typeof statusReport>;

/** Records an uplink is owed, over both streams; undefined when the queue does not know it. */
export function backlogOf(report: StatusReport, uplink: string): number | undefined {
  const streams = report.queue.uplinks.find((entry) => entry.name === uplink)?.streams;
  return streams && streams.events.depth + streams.telemetry.depth;
}
