import { Buffer } from "node:buffer";
import { setImmediate as breathe, setTimeout as pause } from "node:timers/promises";
import type { Clock } from "../core/clock.ts";
import { ConfigError, messageOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { RecorderOptions } from "../core/options/recorder.ts";
import type { Capture, Passed, Tap } from "../core/recording.ts";
import { CaptureWriter } from "./capture-writer.ts";
import { LinkRecorder } from "./link-recorder.ts";
import { Recordings, type RecordingsLimits } from "./recordings.ts";

/** What comes right after a fault belongs to it. */
const AFTER_MS = 1_000;
/** A link writes no second file within this time. */
const AGAIN_MS = 300_000;
/** How often what passed meanwhile is fetched for whoever follows. */
const FOLLOW_MS = 200;
/** So much is written down before anybody else has a turn. */
const AT_ONCE = 256;

export interface RecorderParts {
  readonly dataDir: string;
  readonly gatewayId: string;
  /** The program's. */
  readonly version: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Bytes of the disk that recordings leave free. */
  readonly minFree: number;
  readonly links: readonly RecordedLink[];
  readonly limits?: RecordingsLimits;
  /** Milliseconds between a fault and its file, and between two files of a link. */
  readonly times?: { readonly afterMs: number; readonly againMs: number };
}

export interface RecordedLink {
  readonly name: string;
  readonly driver: string;
  readonly options: RecorderOptions;
  /** Undefined where the driver has no wire that could be recorded. */
  readonly capture: Capture | undefined;
}

interface Recorded {
  readonly link: RecordedLink;
  readonly capture: Capture;
  readonly tap: LinkRecorder;
  timer: NodeJS.Timeout | undefined;
  reason: string;
  /** Monotonic; until then a fault is not written. */
  quietUntilMs: number;
}

/** What a link's recorder holds, for people. */
export interface RecorderStatus {
  readonly link: string;
  readonly recording: boolean;
  readonly driver: string;
  readonly transport?: string;
  readonly at?: string;
  readonly chunks?: number;
  readonly bytes?: number;
  /** Since the oldest of it. */
  readonly ageMs?: number;
}

/** The flight recorder: what passed on each link last, written as pcapng after a fault or when somebody asks for it. */
export class Recorder {
  readonly #parts: RecorderParts;
  readonly #recordings: Recordings;
  readonly #recorded = new Map<string, Recorded>();
  #links: readonly RecordedLink[] = [];
  readonly #writing = new Set<Promise<void>>();
  #stopped = false;

  constructor(parts: RecorderParts) {
    this.#parts = parts;
    this.#recordings = new Recordings(parts.dataDir, parts.minFree, parts.limits);
    this.follow(parts.links, new Set());
  }

  /** Other links from now on. Of those that are new or made anew nothing is held; what a fault asked for before is written. */
  follow(links: readonly RecordedLink[], anew: ReadonlySet<string>): void {
    this.#links = links;
    const names = new Set(links.map(({ name }) => name));
    for (const [name, recorded] of this.#recorded) {
      if (names.has(name) && !anew.has(name)) continue;
      if (recorded.timer) this.#write(recorded);
      this.#recorded.delete(name);
    }
    for (const link of links) {
      const { capture, options, name } = link;
      if (options.off || !capture || this.#recorded.has(name)) continue;
      const tap = new LinkRecorder(options, this.#parts.clock, (reason) => this.fault(name, reason));
      this.#recorded.set(name, { link, capture, tap, timer: undefined, reason: "", quietUntilMs: 0 });
    }
  }

  /** What a link's driver tells of its wire; undefined where nothing is recorded. */
  tap(link: string): Tap | undefined {
    return this.#recorded.get(link)?.tap;
  }

  /** Something on a link is worth a recording: written a moment later, and not again for some minutes. */
  fault(link: string, reason: string): void {
    const recorded = this.#recorded.get(link);
    if (!recorded || this.#stopped || recorded.timer || !recorded.link.options.onFault) return;
    const nowMs = this.#parts.clock.now().monoMs;
    if (nowMs < recorded.quietUntilMs) return;
    const { afterMs = AFTER_MS, againMs = AGAIN_MS } = this.#parts.times ?? {};
    recorded.quietUntilMs = nowMs + againMs;
    recorded.reason = reason;
    recorded.timer = setTimeout(() => this.#write(recorded), afterMs).unref();
  }

  /** Writes what a fault asked for. Idempotent, never rejects. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const recorded of this.#recorded.values()) if (recorded.timer) this.#write(recorded);
    await Promise.all(this.#writing);
  }

  status(): RecorderStatus[] {
    const nowMs = this.#parts.clock.now().monoMs;
    return this.#links.map(({ name, driver, capture }) => {
      const tap = this.#recorded.get(name)?.tap;
      const where = capture ? { transport: capture.transport, at: capture.at } : {};
      if (!tap) return { link: name, recording: false, driver, ...where };
      const { passed } = tap.since(0);
      const bytes = passed.reduce((sum, each) => sum + ("bytes" in each ? each.bytes.length : 0), 0);
      const ageMs = Math.max(0, nowMs - (passed[0]?.monoMs ?? nowMs));
      return { link: name, recording: true, driver, ...where, chunks: passed.length, bytes, ageMs };
    });
  }

  /**
   * A capture file in pieces: what is held, or, with `forMs`, what passes from now on for so long or until the signal aborts.
   * @throws ConfigError when there is no such link, or it is not recorded: at once, before the first piece.
   */
  record(link: string, forMs: number | undefined, signal: AbortSignal): AsyncIterable<Buffer> {
    const recorded = this.#find(link);
    if (forMs === undefined) return this.#held(recorded, "asked for");
    return this.#following(recorded, forMs, signal);
  }

  #find(link: string): Recorded {
    const recorded = this.#recorded.get(link);
    if (recorded) return recorded;
    const known = this.#links.find(({ name }) => name === link);
    if (!known) {
      const names = this.#links.map(({ name }) => name);
      const there = names.length === 0 ? "there are no links" : `there are: ${names.join(", ")}`;
      throw new ConfigError(`there is no link "${link}"; ${there}`);
    }
    if (!known.capture) throw new ConfigError(`link ${link} has no wire: driver ${known.driver} cannot be recorded`);
    throw new ConfigError(`the recorder of link ${link} is off; remove "off" from its "recorder" and start anew`);
  }

  #writer({ link, capture, tap }: Recorded, reason: string): CaptureWriter {
    const { clock, gatewayId, version } = this.#parts;
    const { name, driver } = link;
    const endsOf = (connection: number) => tap.endsOf(connection);
    return new CaptureWriter({ version, gatewayId, link: name, driver, reason, capture, endsOf, now: clock.now() });
  }

  async *#held(recorded: Recorded, reason: string): AsyncGenerator<Buffer> {
    const { passed } = recorded.tap.since(0);
    const writer = this.#writer(recorded, reason);
    yield Buffer.concat(writer.header());
    yield* inTurns(writer, passed);
    yield Buffer.concat(writer.end());
  }

  async *#following(recorded: Recorded, forMs: number, signal: AbortSignal): AsyncGenerator<Buffer> {
    const { tap } = recorded;
    const untilMs = performance.now() + forMs;
    const writer = this.#writer(recorded, "asked for");
    let next = tap.next;
    yield Buffer.concat(writer.header());
    for (let leftMs = forMs; leftMs > 0 && !signal.aborted; ) {
      leftMs = untilMs - performance.now();
      await pause(Math.max(0, Math.min(FOLLOW_MS, leftMs)), undefined, { signal }).catch(() => {});
      const news = tap.since(next);
      writer.lost(news.lost);
      next = news.next;
      yield* inTurns(writer, news.passed);
    }
    yield Buffer.concat(writer.end());
  }

  #write(recorded: Recorded): void {
    clearTimeout(recorded.timer);
    recorded.timer = undefined;
    const { log } = this.#parts;
    const { link, reason } = recorded;
    const writing = this.#recordings
      .write(this.#nameOf(recorded), this.#held(recorded, reason))
      .then(
        (file) => {
          if (file === undefined) log.warn({ link: link.name, reason }, "no room for a recording of the line");
          else log.info({ link: link.name, reason, file }, "recording of the line written");
        },
        (error: unknown) => log.warn({ link: link.name, error: messageOf(error) }, "a recording cannot be written"),
      )
      .finally(() => this.#writing.delete(writing));
    this.#writing.add(writing);
  }

  #nameOf({ link, reason }: Recorded): string {
    const time = new Date(this.#parts.clock.now().wallMs).toISOString().replace(/[-:]|\.\d+/g, "");
    return [link.name, time, reason].map((part) => part.replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 60)).join("-");
  }
}

/** A full ring takes some time to be written down; everybody else has a turn in between. */
async function* inTurns(writer: CaptureWriter, passed: readonly Passed[]): AsyncGenerator<Buffer> {
  for (let at = 0; at < passed.length; at += AT_ONCE) {
    const blocks = passed.slice(at, at + AT_ONCE).flatMap((each) => writer.take(each));
    if (blocks.length > 0) yield Buffer.concat(blocks);
    await breathe();
  }
}
