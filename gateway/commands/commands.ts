import { Buffer } from "node:buffer";
import { join } from "node:path";
import type { Clock } from "../core/clock.ts";
import { messageOf, StorageError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Counter, Metrics } from "../core/metrics.ts";
import type { CommandOptions } from "../core/options/commands.ts";
import { formatDuration } from "../core/options/units.ts";
import type { Queue } from "../core/queue.ts";
import type { Recipe } from "../core/recipe.ts";
import { topicMatches } from "../core/selector.ts";
import { resolve } from "./checks.ts";
import { type Command, isCommand, type Reply, readCommand } from "./command.ts";
import { type Entry, Ledger } from "./ledger.ts";
import { pause } from "./pause.ts";
import { resolveRecipe, writesOf } from "./recipe.ts";
import { RefusalRate } from "./refusal-rate.ts";
import { replyOf, resultId } from "./reply.ts";
import { type Result, refused, resultJson } from "./result.ts";
import { Row } from "./row.ts";
import type { Target } from "./target.ts";

const TELL_AGAIN_MS = 1000;
const MOST_AHEAD = 3;

/** A message on a command's topic. */
export interface CommandMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly retain: boolean;
  /** Who sent it, for people: `client hmi-1`, `uplink cloud`. */
  readonly from: string;
  /** The uplink it came from; absent for a local client. */
  readonly uplink?: string;
  /** Where the sender wants the result too, and with what (MQTT 5). */
  readonly responseTopic?: string;
  readonly correlation?: Uint8Array;
}

/** A result on its way to whoever asked for it. */
export interface Answer {
  readonly topic: string;
  readonly correlation?: Uint8Array;
}

export interface CommandParts {
  readonly options: CommandOptions;
  readonly dataDir: string;
  readonly targets: readonly Target[];
  readonly recipes?: readonly Recipe[];
  readonly queue: Pick<Queue, "append" | "stats">;
  /** Whether an event with this topic and body is in the queue with this seq or a later one. */
  readonly isQueued: (topic: string, body: string, seq: number) => Promise<boolean>;
  /** Gives local listeners a result; with the sender's correlation data, base64, where the local broker can. */
  readonly publish: (topic: string, payload: Uint8Array, correlation?: string) => void;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * What comes down: commands are checked, remembered on disk, carried out at most once, read back and answered. A result is
 * an event of the queue, so it arrives after an outage too.
 */
export class Commands {
  readonly #parts: CommandParts;
  readonly #ledger: Ledger;
  readonly #rows = new Map<string, Row>();
  readonly #stopped = new AbortController();
  readonly #telling = new Set<Promise<void>>();
  /** Results that are being put into the queue, until the ledger knows it. */
  readonly #attempts = new Set<Promise<unknown>>();
  readonly #begun: Promise<void>;
  #begin: () => void = () => {};
  readonly #counted: Counter;
  readonly #refusals: RefusalRate;
  #opening: Promise<void> | undefined;
  #reading: Promise<void> | undefined;
  #started = false;
  #runs = 0;

  constructor(parts: CommandParts) {
    this.#parts = parts;
    this.#refusals = new RefusalRate(parts.clock);
    this.#ledger = new Ledger({
      path: join(parts.dataDir, "state", "commands"),
      wallMs: () => parts.clock.now().wallMs,
      log: parts.log,
    });
    this.#begun = new Promise((resolve_) => {
      this.#begin = resolve_;
    });
    this.#counted = parts.metrics.counter("millrace_commands_total", "Commands, by what became of them.", ["result"]);
  }

  /** Whether messages of this topic are commands. */
  matches(topic: string): boolean {
    return this.#deviceOf(topic) !== undefined;
  }

  /**
   * Reads the ledger, before anything is delivered upstream: results that are sent need to know who asked for them. Never
   * rejects; `start` tries again.
   */
  async load(): Promise<void> {
    await this.#openLedger().catch(() => {});
  }

  /** Takes up what an earlier life left. Never rejects: without a ledger every command is refused until there is one. */
  async start(): Promise<void> {
    for (const target of this.#parts.targets) {
      const { ledger, clock, log } = { ledger: this.#ledger, ...this.#parts };
      const tell = (command: Command, from: string, result: Result) => this.#finish(command, from, result);
      const recipe = (name: string) => this.#recipe(target.device.name, name);
      this.#rows.set(target.device.name, new Row({ target, ledger, clock, log, tell, recipe }));
    }
    this.#started = true;
    await this.#open().catch((error: unknown) => {
      this.#parts.log.error({ error: messageOf(error) }, "commands are refused, their ledger cannot be opened");
    });
    this.#begin();
  }

  /** Begins nothing more; waits for what is on the wire. Idempotent, never rejects. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#begin();
    await Promise.all([...this.#rows.values()].map((row) => row.stop()));
    await Promise.all(this.#telling);
    await this.#opening?.catch(() => {});
    await this.#reading?.catch(() => {});
    await this.#ledger.close();
  }

  /**
   * Resolves when the sender may forget it: it is remembered on disk, or it was refused.
   * @throws StorageError when it could not be remembered: nothing was begun, it may be sent again.
   */
  async take(message: CommandMessage): Promise<void> {
    const device = this.#deviceOf(message.topic);
    if (device === undefined) return;
    if (!this.#started) throw new StorageError("commands are not taken yet");
    await this.#open();
    const read = this.#read(device, message);
    if (read.id === undefined) {
      this.#malformed(message, "reason" in read ? read.reason : "no id");
      return;
    }
    if (this.#ledger.get(read.id)) {
      // Whoever sends it again may not forget it before the first one is on disk.
      await this.#ledger.settled(read.id);
      this.#counted.inc({ result: "duplicate" });
      this.#parts.log.debug({ id: read.id, from: message.from }, "command came again");
      return;
    }
    const reason = isCommand(read) ? this.#fault(read, message) : { error: read.reason };
    if (reason === undefined && isCommand(read)) {
      await this.#ledger.taken(read, message.from);
      this.#rows.get(device)?.push(read, message.from);
      return;
    }
    await this.#refusals.turn(this.#stopped.signal);
    if (this.#stopped.signal.aborted) throw new StorageError("the gateway stops");
    if (this.#ledger.get(read.id)) return;
    const expires = isCommand(read) ? this.#bounded(read.expires) : this.#parts.clock.now().wallMs;
    const reply = replyOf(message);
    const result = refused(
      read.id,
      reason?.error ?? "refused",
      reason && "values" in reason ? reason.values : undefined,
    );
    await this.#finish({ id: read.id, device, expires, writes: [], ...(reply && { reply }) }, message.from, result);
  }

  /**
   * Begins a recipe because its trigger says so; the result is an event like any other.
   * @throws StorageError when it could not be remembered: nothing was begun.
   */
  async trigger(recipe: Recipe): Promise<void> {
    if (!this.#started || this.#stopped.signal.aborted) throw new StorageError("commands are not taken now");
    await this.#open();
    const { name, device, withinMs } = recipe;
    const { wallMs, monoMs } = this.#parts.clock.now();
    const id = `${name}/${this.#parts.clock.bootId.slice(0, 8)}/${Math.round(monoMs)}/${++this.#runs}`;
    const command: Command = { id, device, expires: wallMs + withinMs, writes: writesOf(recipe, []), recipe: name };
    const from = `recipe ${name}`;
    const row = this.#rows.get(device);
    if (!row || row.full) {
      await this.#finish(command, from, refused(id, "too many commands wait for this device"));
      return;
    }
    await this.#ledger.taken(command, from);
    row.push(command, from);
  }

  /**
   * Resolves when the ledger knows of each result that is in the queue by now: before that none may leave it, or the next life
   * would not find it and tell it again. Never rejects; does not wait for what the queue refuses.
   */
  async told(): Promise<void> {
    await this.#begun;
    await Promise.allSettled(this.#attempts);
  }

  /** Where else than on its topic the result in a record's body goes upstream; undefined where nowhere. */
  answerFor(uplink: string, topic: string, payload: Uint8Array): Answer | undefined {
    if (!this.isResult(topic)) return undefined;
    const id = resultId(payload);
    const reply = id === undefined ? undefined : this.#ledger.replyTo(id);
    if (reply?.topic === undefined || reply.uplink !== uplink) return undefined;
    const { topic: to, correlation } = reply;
    return { topic: to, ...(correlation === undefined ? {} : { correlation: Buffer.from(correlation, "base64") }) };
  }

  /** Whether a local topic is one that results go out on. */
  isResult(topic: string): boolean {
    return topicMatches(`${this.#parts.options.topic}/+/result`, topic);
  }

  #recipe(device: string, name: string): Recipe | undefined {
    return this.#parts.recipes?.find((one) => one.device === device && one.name === name);
  }

  /** With the reply, and with all that its recipe writes. */
  #read(device: string, message: CommandMessage): ReturnType<typeof readCommand> {
    const read = readCommand(device, message.payload);
    if (!isCommand(read)) return read;
    const reply = replyOf(message);
    const command = { ...read, ...(reply && { reply }) };
    if (command.recipe === undefined) return command;
    const recipe = this.#recipe(device, command.recipe);
    if (!recipe) {
      const known = this.#parts.recipes?.filter((one) => one.device === device).map((one) => one.name) ?? [];
      const hint = known.length === 0 ? "it has none" : `it has ${known.join(", ")}`;
      return { id: command.id, device, reason: `the device has no recipe ${command.recipe}; ${hint}` };
    }
    return resolveRecipe(command, recipe);
  }

  #deviceOf(topic: string): string | undefined {
    const { topic: prefix } = this.#parts.options;
    if (!topic.startsWith(`${prefix}/`) || !topic.endsWith("/write")) return undefined;
    const device = topic.slice(prefix.length + 1, -"/write".length);
    return device === "" || device.includes("/") ? undefined : device;
  }

  /** Why it may not be carried out; undefined where it may. */
  #fault(command: Command, { retain }: CommandMessage): Pick<Result, "error" | "values"> | undefined {
    const row = this.#rows.get(command.device);
    const target = this.#parts.targets.find(({ device }) => device.name === command.device);
    if (!row || !target) return { error: `there is no device ${command.device}` };
    if (retain) return { error: "a retained command is never carried out: it would be again after each start" };
    const time = this.#timeFault(command.expires);
    if (time !== undefined) return { error: time };
    if (row.full) return { error: "too many commands wait for this device" };
    const found = resolve(command, target);
    if (!("faults" in found)) return undefined;
    return { error: "nothing was written", values: Object.fromEntries(found.faults) };
  }

  #timeFault(expires: number): string | undefined {
    const { wallMs, clock } = this.#parts.clock.now();
    const { maxAhead } = this.#parts.options;
    if (clock === "unsynced") return "the gateway's clock is not set, so it cannot be told whether this is too late";
    if (expires <= wallMs) return "expired";
    if (expires - wallMs > maxAhead)
      return `expires more than ${formatDuration(maxAhead)} from now; is it in milliseconds?`;
    return undefined;
  }

  /** A refused id is remembered for no longer than one that is carried out. */
  #bounded(expires: number): number {
    return Math.min(expires, this.#parts.clock.now().wallMs + MOST_AHEAD * this.#parts.options.maxAhead);
  }

  async #open(): Promise<void> {
    this.#opening ??= this.#openLedger().then(() => this.#resume());
    try {
      await this.#opening;
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }

  async #openLedger(): Promise<void> {
    this.#reading ??= this.#ledger.open();
    try {
      await this.#reading;
    } catch (error) {
      this.#reading = undefined;
      throw error;
    }
  }

  #resume(): void {
    for (const entry of this.#ledger.unfinished()) {
      if (entry.state === "done") {
        this.#track(this.#tellUnlessQueued(entry));
      } else if (entry.state !== "told") {
        const { command, from, state } = entry;
        const row = this.#rows.get(command.device);
        const begun = state === "writing";
        if (row) row.push(command, from, begun);
        else {
          const why = begun ? "unknown whether it was written" : "not written";
          const result = refused(command.id, `${why}: the device is not in the configuration any more`);
          this.#track(this.#finish(command, from, begun ? { ...result, unknown: true } : result));
        }
      }
    }
  }

  async #tellUnlessQueued(entry: Extract<Entry, { state: "done" }>): Promise<void> {
    const { id, device, seq, result: body, reply } = entry;
    const topic = this.#resultTopic(device);
    const look = async () => {
      const queued = await this.#parts.isQueued(topic, body, seq).catch(() => false);
      if (queued) await this.#ledger.told(id);
      return queued;
    };
    if (!(await this.#attempt(look()))) await this.#tell(id, topic, body, reply);
  }

  /** The result goes into the ledger, then into the queue, then to whoever listens. Never rejects. */
  async #finish(command: Command, from: string, result: Result): Promise<void> {
    const { log, queue } = this.#parts;
    const kind = result.ok ? "ok" : result.unknown === true ? "unknown" : "refused";
    this.#counted.inc({ result: kind });
    const { id, device, reply } = command;
    const told: Result = {
      ...result,
      ...(command.recipe === undefined ? {} : { recipe: command.recipe }),
      ...(reply?.token === undefined ? {} : { correlation: reply.token }),
    };
    const fields = { audit: "command", id, device, from, result: kind, error: result.error, values: result.values };
    log.info(fields, "command");
    try {
      await this.#ledger.done(command, queue.stats().streams.events.nextSeq, told);
    } catch (error) {
      log.error({ id, error: messageOf(error) }, "a command's result is not in the ledger");
    }
    const telling = this.#tell(id, this.#resultTopic(device), resultJson(told), reply);
    this.#track(telling);
    await telling;
  }

  async #tell(id: string, topic: string, body: string, reply: Reply | undefined): Promise<void> {
    const payload = Buffer.from(body);
    const { queue, clock, log, publish } = this.#parts;
    const once = async () => {
      const content = { kind: "message" as const, topic, payload, qos: 1 as const, retain: false };
      await queue.append("events", [{ taken: clock.now(), content, durable: true }]);
      publish(topic, payload);
      // One that came from upstream is answered there, when the event gets there.
      if (reply?.topic !== undefined && reply.uplink === undefined) publish(reply.topic, payload, reply.correlation);
      await this.#ledger.told(id);
    };
    for (let first = true; !this.#stopped.signal.aborted; first = false) {
      try {
        await this.#attempt(once());
        return;
      } catch (error) {
        if (first) log.warn({ id, error: messageOf(error) }, "a command's result is not in the queue yet");
        await pause(TELL_AGAIN_MS, this.#stopped.signal);
      }
    }
  }

  async #attempt<T>(work: Promise<T>): Promise<T> {
    this.#attempts.add(work);
    try {
      return await work;
    } finally {
      this.#attempts.delete(work);
    }
  }

  #track(work: Promise<void>): void {
    this.#telling.add(work);
    void work.finally(() => this.#telling.delete(work));
  }

  #malformed({ topic, from }: CommandMessage, reason: string): void {
    this.#counted.inc({ result: "malformed" });
    if (this.#refusals.take()) this.#parts.log.warn({ topic: topic.slice(0, 200), from, reason }, "not a command");
  }

  #resultTopic(device: string): string {
    return `${this.#parts.options.topic}/${device}/result`;
  }
}
