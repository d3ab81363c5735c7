import { isDeepStrictEqual } from "node:util";
import { messageOf, QueueFullError } from "./core/errors.ts";
import type { Logger } from "./core/log.ts";
import type { Counter, Metrics } from "./core/metrics.ts";
import type { Queue } from "./core/queue.ts";
import type { NewRecord, Source, StoredSample } from "./core/record.ts";
import type { Scan } from "./southbound/scan.ts";

/** Scans that may wait for the disk. At 2,000 a second of 100 tags this is about a second, and a few megabytes. */
const MAX_WAITING = 2000;

/**
 * From the pollers into the queue: a scan becomes one record. Never holds up a line: `take` returns at once, and when
 * the disk does not keep up the newest scans are dropped and told as a gap, with a warning when it begins and when it ends.
 */
export class Intake {
  readonly #queue: Pick<Queue, "append" | "refused">;
  readonly #log: Logger;
  readonly #dropped: Counter;
  readonly #records: Counter;
  readonly #sources = new Map<string, { tags: Scan["tags"]; readonly source: Source }>();
  #waiting = 0;
  #droppedInRow = 0;

  constructor(parts: { queue: Pick<Queue, "append" | "refused">; log: Logger; metrics: Metrics }) {
    this.#queue = parts.queue;
    this.#log = parts.log;
    this.#records = parts.metrics.counter("millrace_scans_queued_total", "Scans that became a record.", ["stream"]);
    this.#dropped = parts.metrics.counter("millrace_scans_dropped_total", "Scans the queue did not take.", [
      "stream",
      "reason",
    ]);
  }

  /** @returns when the record is in the queue, or was counted as dropped. Never rejects. */
  async take(scan: Scan): Promise<void> {
    if (this.#waiting >= MAX_WAITING) {
      this.#drop(scan, "busy", new Error(`${MAX_WAITING} scans wait for the disk`));
      return;
    }
    this.#waiting += 1;
    try {
      await this.#queue.append(scan.stream, [this.#record(scan)]);
      this.#records.inc({ stream: scan.stream });
      if (this.#droppedInRow > 0) this.#log.info({ dropped: this.#droppedInRow }, "the queue takes scans again");
      this.#droppedInRow = 0;
      scan.stored?.();
    } catch (error) {
      const full = error instanceof QueueFullError;
      this.#drop(scan, full ? "full" : "storage", error, !(full && error.mayBeStored));
    } finally {
      this.#waiting -= 1;
    }
  }

  #drop(scan: Scan, reason: string, error: unknown, exact = true): void {
    const detail = messageOf(error);
    // Who waits for it is told, and says it again: it is not lost.
    if (scan.stored) scan.stored(error instanceof Error ? error : new Error(detail));
    else this.#queue.refused(scan.stream, { taken: scan.taken, topic: scan.device.topic, exact });
    this.#dropped.inc({ stream: scan.stream, reason });
    if (this.#droppedInRow === 0)
      this.#log.error({ device: scan.device.name, reason, detail }, "the queue refuses scans");
    this.#droppedInRow += 1;
  }

  #record(scan: Scan): NewRecord {
    const samples: StoredSample[] = scan.samples.map(({ tag, quality, value, reason, monoMs }) => ({
      tag,
      quality,
      offsetMs: Math.round(monoMs - scan.taken.monoMs),
      ...(value === undefined ? {} : { value }),
      ...(reason === undefined ? {} : { reason }),
    }));
    const content = { kind: "samples" as const, source: this.#source(scan), samples };
    return { taken: scan.taken, content, ...(scan.stored === undefined ? {} : { durable: true }) };
  }

  /** One object per scan group, so that the queue knows it again by identity. */
  #source(scan: Scan): Source {
    const key = `${scan.device.name}\n${scan.group}`;
    const known = this.#sources.get(key);
    if (known?.tags === scan.tags) return known.source;
    const source = sourceOf(scan);
    // After a reload a device of the same name may have other tags, or another topic.
    const same = known !== undefined && isDeepStrictEqual(known.source, source);
    this.#sources.set(key, { tags: scan.tags, source: same ? known.source : source });
    return same ? known.source : source;
  }
}

function sourceOf({ device, group, tags }: Scan): Source {
  return {
    link: device.link,
    device: device.name,
    group,
    topic: device.topic,
    tags: tags.map(({ name, type, unit }) => ({ name, type, ...(unit === undefined ? {} : { unit }) })),
  };
}
