import { STREAMS, type StreamName } from "../../core/record.ts";
import type { StreamLoad } from "./buffer.ts";
import type { CurvePoint, OutageInput } from "./outage.ts";

/** What an outage costs, of one kind. */
export interface Loss {
  readonly stream: StreamName;
  /** `refused`: it never got in; else it goes from the oldest on. */
  readonly how: "dropped" | "refused" | "maxBacklog.bytes" | "maxBacklog.age";
  /** With `maxBacklog`: for this uplink alone. */
  readonly uplink?: string;
  /** From the beginning of the outage until the first. */
  readonly atSeconds: number;
  readonly records: number;
  /** When the lost records were taken, from the first to the last. */
  readonly fromSeconds: number;
  readonly toSeconds: number;
}

interface Held {
  readonly stream: StreamName;
  stored: number;
  disk: number;
  records: number;
  readonly fromS: number;
  toS: number;
  /** Parts of it that each uplink is owed, 0 to 1. */
  readonly owed: number[];
}

type Entry = { -readonly [Key in keyof Loss]: Loss[Key] };

/** The queue on paper: segments with what each uplink is owed of them, and the rules by which they go. */
export class Book {
  readonly #input: OutageInput;
  readonly #segments: Record<StreamName, Held[]> = { events: [], telemetry: [] };
  readonly #losses = new Map<string, Entry>();
  /** Of a stream's records, what each uplink selects. */
  readonly #selected: Readonly<Record<StreamName, readonly number[]>>;
  readonly #used: Record<StreamName, number> = { events: 0, telemetry: 0 };
  #unowed: number;

  constructor(input: OutageInput) {
    this.#input = input;
    this.#unowed = input.inUse;
    const part = (stream: StreamName) =>
      input.uplinks.map(({ byStream }) => {
        const all = input.loads[stream].recordsPerSecond;
        return all === 0 ? 0 : byStream[stream].recordsPerSecond / all;
      });
    this.#selected = { events: part("events"), telemetry: part("telemetry") };
  }

  point(seconds: number): CurvePoint {
    return {
      seconds,
      diskBytes: this.#unowed + this.#used.events + this.#used.telemetry,
      owed: this.#input.uplinks.map((_, at) => this.#sum(at, ({ records }) => records)),
      owedBytes: this.#input.uplinks.map((_, at) => this.#sum(at, ({ disk }) => disk)),
    };
  }

  losses(): Loss[] {
    return [...this.#losses.values()].sort((a, b) => a.atSeconds - b.atSeconds);
  }

  append(stream: StreamName, load: StreamLoad, step: number, nowS: number): void {
    if (load.recordsPerSecond === 0) return;
    const disk = load.diskPerSecond * step;
    while (!this.#fits(stream, disk)) {
      const victim = this.#victim(stream, disk);
      if (victim === undefined) {
        this.#lose(stream, "refused", load.recordsPerSecond * step, nowS - step, nowS, nowS);
        return;
      }
      this.#drop(victim, nowS);
    }
    const segment = this.#open(stream, nowS - step);
    segment.stored += load.storedPerSecond * step;
    segment.disk += disk;
    this.#used[stream] += disk;
    segment.records += load.recordsPerSecond * step;
    segment.toS = nowS;
  }

  /** What each uplink is owed beyond its own limits is given up. */
  age(nowS: number): void {
    for (const [at, { name, maxBacklog }] of this.#input.uplinks.entries()) {
      const { age = Infinity, bytes = Infinity } = maxBacklog;
      if (age === Infinity && bytes === Infinity) continue;
      let over = this.#sum(at, ({ stored }) => stored) - bytes;
      for (const segment of [...this.#segments.telemetry, ...this.#segments.events]) {
        const owed = (segment.owed[at] ?? 0) * segment.stored;
        if (nowS - segment.toS >= age / 1000) this.#giveUp(segment, at, name, "maxBacklog.age", nowS);
        else if (over > 0) this.#giveUp(segment, at, name, "maxBacklog.bytes", nowS);
        else continue;
        over -= owed;
      }
    }
    this.#sweep();
  }

  /** So many records are delivered to an uplink, the oldest first, events before telemetry; negative: none. */
  deliver(uplink: number, records: number): void {
    let left = records;
    for (const stream of STREAMS) {
      for (const segment of this.#segments[stream]) {
        const owed = (segment.owed[uplink] ?? 0) * segment.records;
        const taken = Math.min(owed, Math.max(0, left));
        left -= taken;
        if (owed > 0) segment.owed[uplink] = ((owed - taken) / segment.records) * (owed - taken < 1e-6 ? 0 : 1);
      }
    }
    this.#sweep();
  }

  #open(stream: StreamName, fromS: number): Held {
    const list = this.#segments[stream];
    const last = list.at(-1);
    if (last && last.stored < this.#input.queue.segment) return last;
    const segment = { stream, stored: 0, disk: 0, records: 0, fromS, toS: fromS, owed: [...this.#selected[stream]] };
    list.push(segment);
    return segment;
  }

  #sum(uplink: number, of: (segment: Held) => number): number {
    let sum = 0;
    for (const stream of STREAMS)
      for (const segment of this.#segments[stream]) sum += (segment.owed[uplink] ?? 0) * of(segment);
    return sum;
  }

  #fits(stream: StreamName, disk: number): boolean {
    const { eventsPolicy, telemetryPolicy, shares } = this.#input.queue;
    const other = stream === "events" ? "telemetry" : "events";
    const policy = stream === "events" ? eventsPolicy : telemetryPolicy;
    const kept = policy === "refuse" ? Math.max(0, (shares?.[other] ?? 0) - this.#used[other]) : 0;
    const used = this.#unowed + this.#used.events + this.#used.telemetry;
    return used + disk + kept <= this.#input.capacity;
  }

  /** As the queue chooses: telemetry beyond its share first, then what the policy of the stream says. */
  #victim(stream: StreamName, disk: number): Held | undefined {
    const share = this.#input.queue.shares?.telemetry ?? 0;
    if (stream === "events") return this.#beyond("telemetry") ?? this.#oldest("events");
    const within = this.#used.telemetry + disk <= share;
    return (within ? this.#beyond("events") : undefined) ?? this.#oldest("telemetry");
  }

  #beyond(stream: StreamName): Held | undefined {
    const oldest = this.#oldest(stream);
    const share = this.#input.queue.shares?.[stream] ?? 0;
    return oldest && this.#used[stream] - oldest.disk >= share ? oldest : undefined;
  }

  #oldest(stream: StreamName): Held | undefined {
    const { eventsPolicy, telemetryPolicy } = this.#input.queue;
    const any = (stream === "events" ? eventsPolicy : telemetryPolicy) === "drop-oldest";
    const required = this.#input.uplinks.flatMap(({ required: is }, at) => (is ? [at] : []));
    return this.#segments[stream].find(
      (segment) => segment.records > 0 && (any || !required.some((at) => (segment.owed[at] ?? 0) > 0)),
    );
  }

  #drop(segment: Held, nowS: number): void {
    const owed = Math.max(0, ...segment.owed);
    const list = this.#segments[segment.stream];
    list.splice(list.indexOf(segment), 1);
    this.#used[segment.stream] -= segment.disk;
    this.#unowed = 0;
    if (owed > 0) this.#lose(segment.stream, "dropped", segment.records * owed, segment.fromS, segment.toS, nowS);
  }

  #giveUp(segment: Held, at: number, uplink: string, how: Loss["how"], nowS: number): void {
    const owed = segment.owed[at] ?? 0;
    if (owed === 0) return;
    segment.owed[at] = 0;
    this.#lose(segment.stream, how, owed * segment.records, segment.fromS, segment.toS, nowS, uplink);
  }

  /** Complete segments that nobody is owed any more go. */
  #sweep(): void {
    for (const stream of STREAMS) {
      const list = this.#segments[stream];
      const held = list.filter((segment, at) => at === list.length - 1 || segment.owed.some((owed) => owed > 0));
      if (held.length === list.length) continue;
      this.#segments[stream] = held;
      this.#used[stream] = held.reduce((sum, { disk }) => sum + disk, 0);
    }
  }

  #lose(
    stream: StreamName,
    how: Loss["how"],
    records: number,
    fromSeconds: number,
    toSeconds: number,
    atSeconds: number,
    uplink?: string,
  ): void {
    const key = `${stream} ${how} ${uplink ?? ""}`;
    const known = this.#losses.get(key);
    if (known) {
      known.records += records;
      known.fromSeconds = Math.min(known.fromSeconds, fromSeconds);
      known.toSeconds = Math.max(known.toSeconds, toSeconds);
      return;
    }
    const entry = { stream, how, atSeconds, records, fromSeconds, toSeconds };
    this.#losses.set(key, uplink === undefined ? entry : { ...entry, uplink });
  }
}
