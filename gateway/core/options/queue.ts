import { z } from "zod";
import { duration, size } from "./units.ts";

const sync = z
  .union([z.literal("always"), duration(10, 60_000)], {
    error: 'either "always" or a duration from 10ms to 60s',
  })
  .describe("How long a polled sample or a QoS 0 message may wait for its fsync; a power cut costs at most that.");

export const queueOptions = z.strictObject({
  maxBytes: size(1024 * 1024)
    .prefault("2GiB")
    .describe("Disk the queue may use; at least 8 segments."),
  minFree: size(0).prefault("512MiB").describe("Free disk that is always left to others."),
  segment: size(64 * 1024)
    .prefault("16MiB")
    .describe("Size at which a segment is sealed."),
  shares: z
    .strictObject({
      events: size(0).prefault("0B").describe("Of `maxBytes`, what telemetry can never take from events."),
      telemetry: size(0)
        .prefault("0B")
        .describe("Of `maxBytes`, what events can never take from telemetry; without it, all of it."),
    })
    .optional()
    .describe("What each stream is sure of; it may use more while the other does not."),
  sync: sync.prefault("1s"),
  eventsPolicy: z
    .enum(["refuse", "drop-oldest"])
    .default("refuse")
    .describe("What happens to events when the queue is full and no telemetry is left to drop."),
  telemetryPolicy: z
    .enum(["drop-oldest", "refuse"])
    .default("drop-oldest")
    .describe("What happens to telemetry when the queue is full."),
  quarantine: size(0)
    .prefault("64MiB")
    .describe("Disk for damaged segments, kept for whoever wants to look into them; beyond it the oldest goes."),
  endurance: size(1_000_000_000)
    .prefault("2.4TB")
    .describe(
      "What the card or disk can take in writes over its life (TBW), for the estimate of its life only; the default is a 32 GB card of 300 cycles.",
    ),
});
export type QueueOptions = z.infer<typeof queueOptions>;
