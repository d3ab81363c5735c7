import { z } from "zod";
import { formatSize } from "../core/options/units.ts";

/** `QueueWear` of core/queue.ts as a gateway tells it. */
export const wearSchema = z.object({
  records: z.number(),
  bytesWritten: z.number(),
  fsyncs: z.number(),
  bytesPerRecord: z.number().optional(),
  deviceBytesPerDay: z.number().optional(),
  endurance: z.number(),
  cardDays: z.number().optional(),
});

/** What the queue costs the card, in a line or two. */
export function describeWear(wear: z.infer<typeof wearSchema>): string {
  const { records, bytesWritten, fsyncs, bytesPerRecord, deviceBytesPerDay, endurance, cardDays } = wear;
  const perRecord = bytesPerRecord === undefined ? "" : `, ${Math.round(bytesPerRecord)} bytes per record`;
  const written = `written since the start: ${count(records)} records, ${formatSize(bytesWritten)}${perRecord}, ${count(fsyncs)} fsyncs`;
  if (deviceBytesPerDay === undefined) return `${written}\ncard: no estimate in the first minute`;
  return `${written}\ncard: ${describeCard({ deviceBytesPerDay, endurance, ...(cardDays === undefined ? {} : { cardDays }) })}`;
}

/** What reaches the device, and how long it lasts at that. */
export function describeCard({
  deviceBytesPerDay,
  endurance,
  cardDays,
}: {
  readonly deviceBytesPerDay: number;
  readonly endurance: number;
  readonly cardDays?: number;
}): string {
  const life = cardDays === undefined ? "nothing is written now" : `lasts ${years(cardDays)} at this rate`;
  const per = `${(deviceBytesPerDay / 1e9).toFixed(2)} GB a day reach the device (estimate, with 8.5 kB per fsync on ext4)`;
  return `${per}; one that takes ${endurance / 1e12} TB (queue.endurance), new, ${life}`;
}

function years(days: number): string {
  if (days > 36_525) return "more than 100 years";
  return days < 730 ? `${Math.floor(days)} days` : `${(days / 365.25).toFixed(1)} years`;
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}
