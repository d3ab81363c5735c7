import type { Clock } from "../core/clock.ts";
import type { Queue } from "../core/queue.ts";
import type { Entry, StreamName } from "../core/record.ts";
import type { WayTracer } from "../core/trace.ts";
import type { Scan } from "../southbound/scan.ts";
import { newSpanId, newTraceId, type Span } from "./span.ts";

export interface TracerParts {
  /** Whether telemetry too is in the queue only when it is fsynced. */
  readonly syncAlways?: boolean;
  /** Part of the scans, 0 to 1. */
  readonly sample: number;
  readonly clock: Clock;
  readonly add: (span: Span) => void;
  /** From 0 to below 1; tests give their own. */
  readonly random?: () => number;
}

/** A trace waits for acknowledgements, and an outage may be long: so many are remembered, the oldest go. */
const MOST_OPEN = 256;

interface Open {
  readonly traceId: string;
  readonly rootId: string;
  readonly stream: StreamName;
  /** Wall minus monotonic time, in milliseconds. */
  readonly offsetMs: number;
  readonly attributes: Span["attributes"];
  /** On the monotonic clock. */
  readonly beganMs: number;
  readonly takenMs: number;
  /** The queue has it only once it is fsynced. */
  durable: boolean;
  appendedMs: number | undefined;
  /** The last fsync of its stream since it was handed to the queue: from and to. */
  synced: readonly [number, number] | undefined;
  told: boolean;
  /** When it went onto the wire, by uplink. */
  readonly sentMs: Map<string, number>;
}

/**
 * Follows some scans through the gateway: `sample` (all of it until it is durable), and in it `poll`, `append` and `fsync`; then
 * for each uplink `send` (from the disk onto its wire, with the wait for a place) and `ack`. Nothing waits for it. While
 * the clock is not set nothing is traced: the times would mean nothing.
 */
export class Tracer implements WayTracer {
  readonly #parts: TracerParts;
  /** By the exact monotonic time at which the scan was taken, which its record keeps. */
  readonly #open = new Map<number, Open>();

  constructor(parts: TracerParts) {
    this.#parts = parts;
  }

  /** Traces remembered. */
  get open(): number {
    return this.#open.size;
  }

  /** A scan came in, and goes to the queue next. Decides whether it is traced. */
  seen({ device, group, stream, taken, samples, beganMs }: Scan): void {
    const { random = Math.random, sample } = this.#parts;
    if (random() >= sample || taken.clock !== "synced" || this.#open.has(taken.monoMs)) return;
    if (this.#open.size >= MOST_OPEN) {
      for (const oldest of this.#open.keys()) {
        this.#open.delete(oldest);
        break;
      }
    }
    this.#open.set(taken.monoMs, {
      traceId: newTraceId(),
      rootId: newSpanId(),
      stream,
      offsetMs: taken.wallMs - taken.monoMs,
      attributes: {
        "millrace.link": device.link,
        "millrace.device": device.name,
        "millrace.group": group,
        "millrace.stream": stream,
        "millrace.samples": samples.length,
      },
      beganMs: Math.min(beganMs ?? taken.monoMs, taken.monoMs),
      takenMs: taken.monoMs,
      durable: stream === "events" || this.#parts.syncAlways === true,
      appendedMs: undefined,
      synced: undefined,
      told: false,
      sentMs: new Map(),
    });
  }

  /** The queue as scans are put into it. */
  appending(queue: Pick<Queue, "append" | "refused">): Pick<Queue, "append" | "refused"> {
    return {
      append: async (stream, records) => {
        const open = this.#open.size === 0 ? [] : records.flatMap(({ taken }) => this.#open.get(taken.monoMs) ?? []);
        if (open.length === 0) return await queue.append(stream, records);
        if (records.some(({ durable }) => durable)) for (const one of open) one.durable = true;
        try {
          await queue.append(stream, records);
        } catch (error) {
          for (const one of open) this.#lost(one, error);
          throw error;
        }
        const nowMs = this.#nowMs();
        for (const one of open) {
          one.appendedMs = nowMs;
          this.#tell(one);
        }
      },
      refused: (stream, lost) => queue.refused(stream, lost),
    };
  }

  /** The disk has kept what was written to a stream, within so many seconds until now. */
  fsynced(stream: StreamName, seconds: number): void {
    if (this.#open.size === 0) return;
    const nowMs = this.#nowMs();
    for (const one of this.#open.values()) {
      if (one.told || one.stream !== stream) continue;
      one.synced = [nowMs - seconds * 1000, nowMs];
      if (one.appendedMs !== undefined) this.#tell(one);
    }
  }

  sent(uplink: string, entries: readonly Entry[]): void {
    for (const one of this.#of(entries)) if (!one.sentMs.has(uplink)) one.sentMs.set(uplink, this.#nowMs());
  }

  answered(uplink: string, entries: readonly Entry[], acknowledged: boolean): void {
    for (const one of this.#of(entries)) {
      const sentMs = one.sentMs.get(uplink);
      if (sentMs === undefined) continue;
      one.sentMs.delete(uplink);
      const attributes = { "millrace.uplink": uplink };
      const error = acknowledged ? undefined : "it was not acknowledged";
      this.#add(one, "send", one.appendedMs ?? one.takenMs, sentMs, attributes);
      this.#add(one, "ack", sentMs, this.#nowMs(), attributes, error);
    }
  }

  /** On disk, as far as is promised: the part of the way inside the gateway is over. */
  #tell(one: Open): void {
    const { appendedMs, synced } = one;
    if (one.told || appendedMs === undefined || synced === undefined) return;
    // Where the append did not wait for one, only an fsync that began after it has certainly had it.
    if (synced[0] < (one.durable ? one.takenMs : appendedMs)) return;
    one.told = true;
    this.#root(one, Math.max(appendedMs, synced[1]));
    this.#add(one, "poll", one.beganMs, one.takenMs);
    this.#add(one, "append", one.takenMs, appendedMs);
    this.#add(one, "fsync", synced[0], synced[1]);
  }

  #lost(one: Open, error: unknown): void {
    const nowMs = this.#nowMs();
    const reason = error instanceof Error ? error.message : "the queue did not take it";
    this.#open.delete(one.takenMs);
    this.#root(one, nowMs, reason);
    this.#add(one, "poll", one.beganMs, one.takenMs);
    this.#add(one, "append", one.takenMs, nowMs, {}, reason);
  }

  #root(one: Open, endMs: number, error?: string): void {
    const { traceId, rootId: spanId, attributes, offsetMs, beganMs } = one;
    const times = { startMs: beganMs + offsetMs, endMs: endMs + offsetMs };
    this.#parts.add({
      traceId,
      spanId,
      name: "sample",
      ...times,
      attributes,
      ...(error === undefined ? {} : { error }),
    });
  }

  #add(
    { traceId, rootId: parentId, offsetMs }: Open,
    name: string,
    fromMs: number,
    toMs: number,
    attributes: Span["attributes"] = {},
    error?: string,
  ): void {
    const times = { startMs: fromMs + offsetMs, endMs: toMs + offsetMs };
    const wrong = error === undefined ? {} : { error };
    this.#parts.add({ traceId, spanId: newSpanId(), parentId, name, ...times, attributes, ...wrong });
  }

  #of(entries: readonly Entry[]): Open[] {
    if (this.#open.size === 0) return [];
    const { bootId } = this.#parts.clock;
    return entries.flatMap((entry) => {
      const one = entry.content.kind === "samples" ? this.#open.get(entry.monoMs) : undefined;
      if (one === undefined || entry.bootId !== bootId || entry.stream !== one.stream) return [];
      return entry.content.kind === "samples" && entry.content.source.device === one.attributes["millrace.device"]
        ? [one]
        : [];
    });
  }

  #nowMs(): number {
    return this.#parts.clock.now().monoMs;
  }
}
