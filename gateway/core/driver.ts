import type { z } from "zod";
import type { Clock } from "./clock.ts";
import type { DerivedTag } from "./derived.ts";
import type { LearntModule, LearntStore } from "./learnt.ts";
import type { Logger } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { StreamName } from "./record.ts";
import type { RecordingModule, Tap } from "./recording.ts";
import type { Sample, Value } from "./sample.ts";
import type { Shape } from "./shape.ts";

/**
 * A tag as configured. The fields every driver shares; a driver's own (address, byte order, ...) are in `options`,
 * already checked by the driver's schema.
 */
export interface Tag<Options = unknown> {
  readonly name: string;
  /** Milliseconds between two reads. */
  readonly everyMs: number;
  readonly stream: StreamName;
  /** Absolute: a good value that moved by less than this is not sent. 0 sends every change; absent sends every scan. */
  readonly deadband?: number;
  /** What was read again is sent at the latest so many milliseconds after the last time, changed or not. */
  readonly maxSilenceMs?: number;
  /** Least time between two samples that are sent, in milliseconds; a change of quality does not wait. */
  readonly minIntervalMs?: number;
  /** What is made of the value between the driver and everybody else. */
  readonly shape?: Shape;
  /** Engineering unit, for people. */
  readonly unit?: string;
  /** The value type as configured, e.g. `float32`. */
  readonly type: string;
  readonly options: Options;
}

/**
 * Takes what was heard. `stored` is told once, where the host keeps samples: without an error when all that came of these is on disk
 * (fsynced), else why some of it is not. What a deadband or a rate holds back does not count.
 */
export type Emit = (samples: Sample[], stored?: (error?: Error) => void) => void;

/** A station on a link. `options` are the driver's own, already checked. */
export interface Device<Options = unknown> {
  readonly name: string;
  /** Name of its link. */
  readonly link: string;
  /** Where its samples are published, placeholders resolved. */
  readonly topic: string;
  readonly tags: readonly Tag[];
  /** Worked out from `tags`, never seen by a driver; those that others need come first. */
  readonly derived?: readonly DerivedTag[];
  readonly options: Options;
}

/** Limits of a device known beforehand; what its driver learnt by itself comes on top. */
export interface Profile {
  readonly maxRegisters?: number;
}

/** One wire transaction that a plan consists of. A driver keeps its own fields beside these. */
export interface Request {
  readonly device: Device;
  /** The tags whose samples this request gives. */
  readonly tags: readonly Tag[];
  /** For people: `holding 0..9 (10 registers)`. */
  readonly label: string;
  /** Predicted time on the wire, question and answer, in milliseconds; 0 where unknown. */
  readonly wireMs: number;
  /** Predicted milliseconds for which the wire is taken, the unit's turn-around included; `wireMs` where absent. */
  readonly busyMs?: number;
  /** Addresses that are read, and how many of them no tag needs. */
  readonly addresses?: number;
  readonly spare?: number;
  /** Those of `tags` that are not asked for, because the device refused them, and why. */
  readonly excluded?: readonly { readonly tag: Tag; readonly reason: string }[];
  /**
   * After `read`: the transactions to be made at once in place of this one, whose samples are then dropped, because it was
   * refused and smaller ones may not be. They have the same tags. Gives them once; nothing where the samples stand.
   */
  instead?(): readonly Request[];
}

export interface TagWrite {
  readonly tag: Tag;
  readonly value: Value;
}
/** What may be written to a tag. */
export interface WriteLimits {
  readonly min?: number;
  readonly max?: number;
  /** Greatest change from what the device holds, in one command. */
  readonly maxStep?: number;
  /** Least time between two commands that write it, in milliseconds. */
  readonly everyMs?: number;
}

export interface WriteResult {
  readonly tag: string;
  readonly ok: boolean;
  readonly reason?: string;
  readonly before?: Value;
  readonly after?: Value;
}

/**
 * One protocol over one link. A signal bounds the call, never the connection. Calls other than `close` are never made
 * in parallel beyond `concurrency`. A driver never reconnects by itself.
 */
export interface Driver {
  /** Wire transactions at once; 1 unless the device says otherwise. */
  readonly concurrency: number;

  /**
   * Within which each call ends by itself, whatever a device does, in milliseconds; a call that takes longer is aborted. Absent:
   * 30 s.
   */
  readonly callLimitMs?: number;

  /**
   * Turns the tags of one scan group into wire transactions. No I/O. Tags that are in none of them are listened for, where
   * the driver can, or only written.
   * @throws ConfigError naming the tag.
   */
  plan(device: Device, tags: readonly Tag[], profile: Profile): Request[];

  /**
   * A number that is another one when `plan` would now give another answer for this device, because something was learnt.
   * Absent where a plan never changes.
   */
  revision?(device: Device): number;

  /** What is known of the device by its answers, as `LearntModule.describe` takes it. Absent where nothing is learnt. */
  learnt?(device: Device): unknown;

  /** @throws NotConnectedError: again, with back-off. ConfigError: stop (no such serial port driver, bad options). */
  connect(signal: AbortSignal): Promise<void>;

  /**
   * Milliseconds for which this must not be asked yet, because the answer to an older question could be taken for its own; the
   * wire is free for other questions meanwhile. 0 where it may be asked. No I/O. Absent where nothing ever has to wait.
   */
  heldMs?(device: Device, what: Request | "probe" | "write"): number;

  /**
   * One wire transaction. Gives exactly one sample per tag of the request: a unit's own refusal (Modbus exception) or an
   * undecodable value is a `bad` sample with a reason, not an error.
   * @throws TimeoutError when the unit did not answer. NotConnectedError when the link is gone: connect again.
   */
  read(request: Request, signal: AbortSignal): Promise<Sample[]>;

  /** @throws as `read`. Absent where the driver cannot write. */
  write?(device: Device, writes: readonly TagWrite[], signal: AbortSignal): Promise<WriteResult[]>;

  /**
   * For what speaks unasked: `tags` are those of the device that `plan` gives no request for. Runs beside `read`, and resolves
   * when the signal aborts. `emit` gets one sample for each tag that a telegram has a value for, or is bad for a reason.
   * @throws NotConnectedError when the link is gone: connect again.
   */
  listen?(device: Device, tags: readonly Tag[], emit: Emit, signal: AbortSignal): Promise<void>;

  /** The cheapest question that shows a unit is alive. @throws as `read`. */
  probe?(device: Device, signal: AbortSignal): Promise<void>;

  /** Idempotent, never rejects; calls in flight reject with NotConnectedError. */
  close(): Promise<void>;
}

/** A unit did not answer in its time. The link is fine; the unit's breaker counts it. */
export class TimeoutError extends Error {
  readonly code = "MILLRACE_TIMEOUT";
  override readonly name = "TimeoutError";
}

/** A write was sent, or may have been, and nothing tells whether the device did it. Never send it again unasked. */
export class UncertainWriteError extends Error {
  readonly code = "MILLRACE_UNCERTAIN_WRITE";
  override readonly name = "UncertainWriteError";
}

export interface DriverContext {
  readonly link: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Outlives the driver. Without it what is learnt is forgotten with the driver. */
  readonly learnt?: LearntStore;
  /** Where the driver tells what passes on the wire. */
  readonly tap?: Tap;
}

/**
 * What a driver folder exports. The schemas hold only what the driver adds to the shared keys; they are strict, and give
 * the JSON Schema and the option tables too.
 */
export interface DriverModule {
  readonly name: string;
  /** Keys of a link beside name, driver and devices. Must be a strict object. */
  readonly linkSchema: z.ZodObject;
  /** Keys of a device beside name, topic and tags. */
  readonly deviceSchema: z.ZodObject;
  /** Keys of a tag beside name, every, stream, deadband and unit; `type` is among them. */
  readonly tagSchema: z.ZodObject;
  /**
   * Checks what a schema cannot (address against type, duplicate units on a line). No I/O.
   * @returns faults, each with the path inside the link, e.g. `["devices", 0, "tags", 3, "address"]`.
   */
  check(link: unknown): readonly { readonly path: readonly (string | number)[]; readonly message: string }[];
  /** The type a person sees for a tag's options, e.g. `float32`. */
  typeOf(tagOptions: unknown): string;
  /** What commands may write to a tag; undefined where nothing. Absent where the driver cannot write. */
  writable?(tagOptions: unknown): WriteLimits | undefined;
  create(linkOptions: unknown, context: DriverContext): Driver;
  /** The other side of the wire: a device in software that answers as this driver asks. */
  readonly simulator?: SimulatorModule;
  /** Present where the flight recorder can write down what the driver does, and play it again. */
  readonly recording?: RecordingModule;
  /** Present where the driver learns. */
  readonly learnt?: LearntModule;
}

/** A device in software on real sockets or a real serial port, for demos, tests and trying out a register map. */
export interface SimulatorModule {
  readonly schema: z.ZodObject;
  /** Resolves when it answers. @throws ConfigError. */
  start(options: unknown, log: Logger): Promise<Simulator>;
  /**
   * Options for a device that has these tags (a mapping each, as a device profile gives it), with values that move.
   * @param link what is told of how its interface leaves the factory. @throws ConfigError naming the tag.
   */
  ofTags?(device: SimulatedDevice): Record<string, unknown>;
}
export interface SimulatedDevice {
  readonly unit: number;
  readonly tags: readonly unknown[];
  readonly link: Readonly<Record<string, unknown>>;
  /** A serial port, or a TCP port of this machine. */
  readonly at: { readonly path: string } | { readonly port: number };
}
export interface Simulator {
  /** Where it can be reached: `127.0.0.1:5020` or the path of the port. */
  readonly address: string;
  /** Idempotent, never rejects. */
  stop(): Promise<void>;
}
