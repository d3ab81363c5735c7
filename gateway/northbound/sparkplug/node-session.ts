import type { Duplex } from "node:stream";
import { ConfigError, NotConnectedError } from "../../core/errors.ts";
import type { Outgoing, UplinkContext, Verdict } from "../../core/uplink.ts";
import type { SessionTerms } from "../mqtt/session.ts";
import { Summary } from "../summary.ts";
import { Downlink } from "./downlink.ts";
import type { Action, EdgeNode, NodePublish } from "./edge-node.ts";
import { type NodeLife, OWN } from "./life.ts";
import type { MetricSample } from "./metrics.ts";
import type { SparkplugOptions } from "./options.ts";
import { groupsWithin, ofMessage, saysUnreachable } from "./samples.ts";
import { type Inbound, Session } from "./session.ts";

export interface NodeSessionParts {
  readonly node: EdgeNode;
  readonly context: UplinkContext;
  readonly options: SparkplugOptions;
  readonly life: NodeLife;
  readonly terms: SessionTerms;
  readonly onLost: (error: Error) => void;
}

/** Captured topics that may become metrics: each new one is a birth of everything. */
const MOST_TOPICS = 1000;
/** Of a packet, what a data message needs besides its metrics and its topic. */
const PAYLOAD_BYTES = 64;
const UNSENT: Verdict = { kind: "retry", reason: "the connection was lost", unanswered: "unsent" };

/** The edge node on one connection: what the node says is to be done is done on the wire, in order. */
export class NodeSession {
  readonly #parts: NodeSessionParts;
  readonly #session: Session;
  readonly #downlink: Downlink;
  readonly #ignored: Summary;
  /** Messages that came before the births were on the wire. */
  #early: { readonly message: Inbound; readonly done: () => void }[] | undefined = [];
  #waiting: (() => void)[] = [];
  /** When this session began, on the monotonic clock of the boot. */
  #sinceMs = 0;
  #error: Error | undefined;

  constructor(socket: Duplex, parts: NodeSessionParts) {
    this.#parts = parts;
    const { context, options, terms } = parts;
    const { name, plant, log } = context;
    this.#ignored = new Summary(log);
    this.#downlink = new Downlink({ name, plant, expiryMs: options.commandExpiry, log });
    this.#session = new Session(socket, {
      terms,
      ackTimeoutMs: options.ackTimeout,
      afterBirthMs: options.afterBirth,
      log,
      onMessage: (message) => this.#onMessage(message),
      onChange: () => this.#wake(),
      onLost: (error) => this.#onLost(error),
    });
  }

  /** Subscribes, then publishes the births unless a primary host is waited for. @throws as `Session.subscribe`. */
  async open(signal: AbortSignal): Promise<void> {
    const { node, context } = this.#parts;
    this.#session.start();
    this.#sinceMs = context.clock?.now().monoMs ?? 0;
    for (const { name } of context.plant?.devices ?? []) this.#reach(name, context.plant?.answers(name) ?? true);
    const actions = node.connected(this.#nowMs);
    for (const action of actions) {
      if (action.kind === "subscribe") await this.#session.subscribe(action.subscriptions, signal);
    }
    this.#do(actions);
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const { message, done } of early) void this.#onMessage(message).then(done);
    if (this.#error !== undefined) throw this.#error;
  }

  /** Resolves when the births are out. @param elsewhere whether a host that says it is offline ends the waiting. */
  async born(elsewhere: boolean, signal: AbortSignal): Promise<void> {
    const { node, options } = this.#parts;
    while (!node.born) {
      if (this.#error !== undefined) throw this.#error;
      signal.throwIfAborted();
      if (elsewhere && node.hostOffline) {
        throw new NotConnectedError(`the primary host ${options.primaryHost} is offline`);
      }
      await this.#change(signal);
    }
  }

  /** As `Uplink.send`. */
  async send(
    batch: readonly Outgoing[],
    verdict: (index: number, v: Verdict) => void,
    signal: AbortSignal,
  ): Promise<void> {
    let at = 0;
    try {
      while (at < batch.length || !this.#session.room) {
        if (this.#session.ended) throw this.#error ?? new NotConnectedError("the connection was lost");
        signal.throwIfAborted();
        for (; at < batch.length && this.#session.room; at++) {
          const [index, message] = [at, batch[at]];
          if (message !== undefined) this.#give(message, (v) => verdict(index, v));
        }
        if (at >= batch.length && this.#session.room) break;
        await this.#change(signal);
      }
    } catch (error) {
      for (; at < batch.length; at++) verdict(at, UNSENT);
      throw error;
    }
  }

  lose(error: Error): void {
    this.#session.lose(error);
  }

  /** NDEATH, then DISCONNECT. Idempotent, never rejects. */
  async close(): Promise<void> {
    const { node } = this.#parts;
    await this.#session.close(() => publishesOf(node.leaving(this.#nowMs)));
    node.lost();
    this.#wake();
  }

  #give(message: Outgoing, settled: (v: Verdict) => void): void {
    const { node } = this.#parts;
    if (!node.born) {
      settled(UNSENT);
      return;
    }
    let actions: Action[];
    try {
      actions = this.#actionsFor(message);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      settled({ kind: "reject", reason: error.message });
      return;
    }
    this.#do(actions, (verdict) => this.#settle(verdict, settled));
  }

  #settle(verdict: Verdict, settled: (v: Verdict) => void): void {
    const { node } = this.#parts;
    settled(verdict);
    if (this.#session.ended) return;
    // A message that the server refused has taken a seq: hosts miss it, and must be told everything anew.
    if (verdict.kind !== "ack") this.#do(node.rebirth(this.#nowMs));
    else if (this.#session.quiet && node.born) this.#do(node.buryUnreachable(this.#nowMs));
  }

  /** @throws RangeError when it can never be sent. */
  #actionsFor({ topic, payload, record }: Outgoing): Action[] {
    const { node } = this.#parts;
    const now = this.#nowMs;
    if (record === undefined) {
      // What the status says, births and deaths say.
      if (topic === OWN.status) return [];
      const value = new TextDecoder().decode(payload);
      const sample: MetricSample = { name: topic, quality: "good", value, timestamp: now, isHistorical: false };
      return this.#data(undefined, [sample], now);
    }
    const { entry } = record;
    const { content } = entry;
    const isPast = record.historical || this.#isPast(entry);
    if (content.kind === "message") {
      this.#checkMessage(content.topic);
      return this.#data(undefined, [ofMessage(entry, content, isPast)], now);
    }
    const { device } = content.source;
    // One that is only in the backlog, because the configuration has it no more: born for its past alone.
    if (isPast && !node.has(device)) node.deviceOffline(device, now);
    const samples = this.#parts.life.reader.ofRecord(entry, content, isPast);
    const dead = !isPast && saysUnreachable(content) && !(this.#parts.context.plant?.answers(device) ?? false);
    return dead ? node.deviceOffline(device, now) : this.#data(device, samples, now);
  }

  #data(device: string | undefined, samples: readonly MetricSample[], nowMs: number): Action[] {
    const { node, terms, options } = this.#parts;
    const topicBytes = 32 + 2 * (options.group.length + (options.node?.length ?? 64) + (device?.length ?? 0));
    const groups = groupsWithin(samples, terms.maxBytes - PAYLOAD_BYTES - topicBytes);
    return groups.flatMap((group) => node.data(device, group, nowMs));
  }

  /** @throws RangeError when this captured message may not be a metric. */
  #checkMessage(topic: string): void {
    const { options, life } = this.#parts;
    if (options.messages === "reject") throw new RangeError("captured messages are not sent by this uplink");
    if (life.topics.has(topic)) return;
    if (life.topics.size >= MOST_TOPICS) throw new RangeError(`more than ${MOST_TOPICS} captured topics`);
    life.topics.add(topic);
  }

  /** Taken before this session began: nobody could have been told in time. */
  #isPast({ bootId, monoMs }: { readonly bootId: string; readonly monoMs: number }): boolean {
    const { clock } = this.#parts.context;
    return clock !== undefined && (bootId !== clock.bootId || monoMs < this.#sinceMs);
  }

  #reach(device: string, answers: boolean): void {
    const { node } = this.#parts;
    if (answers) node.deviceOnline(device, this.#nowMs);
    else node.deviceOffline(device, this.#nowMs);
  }

  #onMessage(message: Inbound): Promise<void> {
    const { node } = this.#parts;
    if (this.#early !== undefined) {
      const early = this.#early;
      return new Promise((done) => early.push({ message, done }));
    }
    // A retained command would be carried out after each connect.
    if (message.retain && /^[^/]*\/[^/]*\/[ND]CMD\//.test(message.topic)) {
      this.#downlink.refuse("a retained command is never carried out", { topic: message.topic });
      return Promise.resolve();
    }
    const actions = node.message(message.topic, message.payload, this.#nowMs);
    this.#do(actions);
    return this.#write(actions, message);
  }

  /** Does it in order, except writes. */
  #do(actions: readonly Action[], settled?: (verdict: Verdict) => void): void {
    const publishes = publishesOf(actions);
    const tooLong = publishes.find((one) => this.#session.sizeOf(one) > this.#parts.terms.maxBytes);
    if (tooLong !== undefined) {
      this.#session.lose(this.#tooLong(tooLong));
      settled?.(UNSENT);
      return;
    }
    this.#session.publish(publishes, this.#parts.options.dataQos, settled);
    for (const action of actions) {
      if (action.kind === "leave") void this.#leave(action.reason);
      if (action.kind !== "ignored") continue;
      const { reason } = action;
      this.#ignored.report("warn", reason, { reason }, "a message from upstream was ignored");
    }
    this.#wake();
  }

  /** Resolves when the commands are remembered, or were refused. Never rejects. */
  async #write(actions: readonly Action[], cause: Inbound): Promise<void> {
    const writes = actions.filter((action) => action.kind === "write");
    await Promise.all(writes.map((action) => this.#downlink.take(action, cause, this.#nowMs)));
  }

  async #leave(reason: string): Promise<void> {
    await this.#session.close(() => []);
    this.#onLost(new NotConnectedError(reason));
  }

  #tooLong(message: NodePublish): ConfigError {
    const { maxBytes } = this.#parts.terms;
    const size = this.#session.sizeOf(message);
    return new ConfigError(
      `${message.type} on ${message.topic} has ${size} bytes, and the server takes ${maxBytes}; spread the tags over more devices`,
    );
  }

  #onLost(error: Error): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#parts.node.lost();
    this.#wake();
    this.#parts.onLost(error);
  }

  get #nowMs(): number {
    return Math.round(this.#parts.context.clock?.now().wallMs ?? Date.now());
  }

  /** Resolves at the next sign that something may go on. */
  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#waiting.push(done);
      signal.addEventListener("abort", done, { once: true });
    });
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const done of waiting) done();
  }
}

function publishesOf(actions: readonly Action[]): NodePublish[] {
  return actions.flatMap((action) => (action.kind === "publish" ? [action.message] : []));
}
