import { messageOf } from "../../core/errors.ts";
import type { Value } from "../../core/sample.ts";
import { DataType, fromWire } from "./datatype.ts";
import { type MetricDefinition, type MetricSample, MetricSet } from "./metrics.ts";
import { decodePayload, encodePayload, type Metric, type Payload } from "./payload.ts";
import { type DeviceMessage, type NodeMessage, NodeTopics, readState, stateTopic } from "./topics.ts";

/** What an edge node is. */
export interface EdgeNodeSettings {
  readonly group: string;
  readonly node: string;
  /** Metrics of the node itself, besides `bdSeq` and `Node Control/Rebirth`. */
  readonly metrics?: readonly MetricDefinition[];
  readonly devices: readonly { readonly id: string; readonly metrics: readonly MetricDefinition[] }[];
  /** Numbers in place of names after the birth. */
  readonly aliases: boolean;
  /** Host without which nothing is sent. */
  readonly primaryHost?: string;
  /** The bdSeq of the last CONNECT, as it was kept; absent before the first. */
  readonly lastBdSeq?: number;
  /** The newest samples of a device, for its births; absent: births say what was sent last. */
  readonly present?: (device: string) => readonly MetricSample[];
}

/** A message to be published as it is, in order; if one cannot be, the connection has to be given up. */
export interface NodePublish {
  readonly type: NodeMessage | DeviceMessage;
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: false;
}

export interface Subscription {
  readonly filter: string;
  readonly qos: 1;
}

/** Before a connection: keep `bdSeq` on disk, then connect with a clean session and this will. */
export interface ConnectTerms {
  readonly bdSeq: number;
  readonly will: NodePublish;
}

/** One value that a host wants written. */
export interface Write {
  readonly name: string;
  /** Undefined: null, or not of the metric's type. */
  readonly value: Value | undefined;
  readonly timestamp?: number;
}

/** What is to be done, in this order. */
export type Action =
  | { readonly kind: "subscribe"; readonly subscriptions: readonly Subscription[] }
  | { readonly kind: "publish"; readonly message: NodePublish }
  /** From NCMD (no `device`) or DCMD. `unknown`: what it named that there is not. */
  | {
      readonly kind: "write";
      readonly device?: string;
      readonly writes: readonly Write[];
      readonly unknown: readonly string[];
      /** When the host sent it, Unix milliseconds. */
      readonly timestamp?: number;
    }
  /** The primary host is gone: disconnect after what was to be published, and try the next server. */
  | { readonly kind: "leave"; readonly reason: string }
  /** Something came that means nothing; for the log. */
  | { readonly kind: "ignored"; readonly reason: string };

export const REBIRTH = "Node Control/Rebirth";
const BDSEQ = "bdSeq";

type Phase =
  /** No connection. */
  | "offline"
  /** A will is made, and CONNECT is on its way. */
  | "connecting"
  /** Connected; the primary host is not online yet. */
  | "waiting"
  /** Births are sent: data may follow. */
  | "born";

interface DeviceState {
  readonly metrics: MetricSet;
  reachable: boolean;
  /** Whether the host has its birth, in this session. */
  born: boolean;
  /** Whether it had one since the last NBIRTH. */
  declared: boolean;
}

/**
 * A Sparkplug B 3.0 edge node without its connection: what happens goes in, what is to be done comes out. All of it is
 * synchronous and without I/O; times are Unix milliseconds. Sequence numbers are given when a message is made, so each has to be
 * published, in order, or the connection closed.
 */
export class EdgeNode {
  readonly #settings: EdgeNodeSettings;
  readonly #topics: NodeTopics;
  readonly #own: MetricSet;
  readonly #devices = new Map<string, DeviceState>();
  readonly #nextAlias: (() => number) | undefined;
  /** By server: the time of its last STATE that counted. */
  readonly #stateTimes = new Map<string, number>();
  #server = "";
  #phase: Phase = "offline";
  #hostOffline = false;
  #bdSeq: number;
  #seq = 0;

  /** @throws RangeError when an id cannot be one. */
  constructor(settings: EdgeNodeSettings) {
    this.#settings = settings;
    this.#topics = new NodeTopics(settings.group, settings.node);
    this.#bdSeq = settings.lastBdSeq ?? -1;
    let alias = 0;
    this.#nextAlias = settings.aliases ? () => ++alias : undefined;
    this.#own = new MetricSet(this.#nextAlias);
    for (const metric of settings.metrics ?? []) this.#own.define(metric);
    for (const { id, metrics } of settings.devices) {
      const device = this.#device(id);
      for (const metric of metrics) device.metrics.define(metric);
    }
  }

  get phase(): Phase {
    return this.#phase;
  }
  /** Whether data may be given. */
  get born(): boolean {
    return this.#phase === "born";
  }
  /** Whether the primary host said on this connection that it is offline. */
  get hostOffline(): boolean {
    return this.#hostOffline;
  }
  /** Of the last CONNECT. */
  get bdSeq(): number {
    return this.#bdSeq;
  }

  /**
   * For every CONNECT packet anew, also one that is refused: a new bdSeq, and the will that has it.
   * @param server tells servers apart: each has its own STATE of the primary host.
   */
  connecting(nowMs: number, server = ""): ConnectTerms {
    this.#bdSeq = (this.#bdSeq + 1) % 256;
    this.#phase = "connecting";
    this.#hostOffline = false;
    this.#server = server;
    return { bdSeq: this.#bdSeq, will: this.#death(nowMs, 1) };
  }

  /** CONNACK said yes. Subscriptions come before births; wait for SUBACK between them. */
  connected(nowMs: number): Action[] {
    if (this.#phase !== "connecting") throw new RangeError("there is no connection in the making");
    const { primaryHost } = this.#settings;
    const filters = [this.#topics.node("NCMD"), `${this.#topics.node("DCMD")}/+`];
    if (primaryHost !== undefined) filters.push(stateTopic(primaryHost));
    const subscribe: Action = { kind: "subscribe", subscriptions: filters.map((filter) => ({ filter, qos: 1 })) };
    if (primaryHost === undefined) return [subscribe, ...this.#births(nowMs)];
    this.#phase = "waiting";
    return [subscribe];
  }

  /** The connection is gone, or was never made. */
  lost(): void {
    this.#phase = "offline";
  }

  /** Before a disconnect of our own: what has to be published first. The session is over with it. */
  leaving(nowMs: number): Action[] {
    const wasConnected = this.#phase === "born" || this.#phase === "waiting";
    this.#phase = "offline";
    return wasConnected ? [{ kind: "publish", message: this.#death(nowMs, 0) }] : [];
  }

  /** All births anew, where data were born already: the server refused a message, so that hosts miss a seq. */
  rebirth(nowMs: number): Action[] {
    return this.#phase === "born" ? this.#births(nowMs) : [];
  }

  /** A message that came down. */
  message(topic: string, payload: Uint8Array, nowMs: number): Action[] {
    if (this.#phase !== "born" && this.#phase !== "waiting") return ignored("a message without a session");
    const heard = this.#topics.read(topic);
    if (heard.kind === "state") return this.#state(heard.host, payload, nowMs);
    if (heard.kind === "other") return ignored(`a message on ${topic}`);
    let command: Payload;
    try {
      command = decodePayload(payload);
    } catch (error) {
      return ignored(`${topic}: ${messageOf(error)}`);
    }
    return heard.kind === "ncmd" ? this.#ncmd(command, nowMs) : this.#dcmd(heard.device, command);
  }

  /**
   * Samples of the node itself (no `device`) or of a device, as NDATA or DDATA. A metric that no birth announced, or in another
   * type, is announced first. A device that cannot be reached is born again by a good sample of now; samples of now that are not good
   * are left out for it, because its DDEATH says so already. For its past it is born too, until `buryUnreachable`.
   * @throws RangeError when data may not be sent now (`born` is false).
   */
  data(device: string | undefined, samples: readonly MetricSample[], nowMs: number): Action[] {
    if (this.#phase !== "born") throw new RangeError("data come after the births");
    const state = device === undefined ? undefined : this.#device(device);
    const metrics = state?.metrics ?? this.#own;
    if (state !== undefined && samples.some((one) => !one.isHistorical && one.quality === "good"))
      state.reachable = true;
    const said = state?.reachable === false ? samples.filter((one) => one.isHistorical) : samples;
    const actions: Action[] = [];
    let pending: Metric[] = [];
    const flush = () => {
      if (pending.length > 0) actions.push(this.#dataOf(device, pending, nowMs));
      pending = [];
    };
    for (const sample of said.toSorted((a, b) => a.timestamp - b.timestamp)) {
      if (metrics.learn(sample) || state?.born === false) {
        // What was said before goes under the birth that it fits.
        flush();
        actions.push(...this.#birthOf(device, state, nowMs));
      }
      pending.push(metrics.data(sample));
    }
    flush();
    return actions;
  }

  /** Whether there is such a device, by the settings or by its samples. */
  has(id: string): boolean {
    return this.#devices.has(id);
  }

  /** A device cannot be reached any more: DDEATH. It is born again by `deviceOnline` or by a good sample. */
  deviceOffline(id: string, nowMs: number): Action[] {
    const device = this.#device(id);
    device.reachable = false;
    return this.#bury(id, device, nowMs);
  }

  deviceOnline(id: string, nowMs: number): Action[] {
    const device = this.#device(id);
    device.reachable = true;
    return this.#phase === "born" && !device.born ? this.#birthOf(id, device, nowMs) : [];
  }

  /** DDEATH for devices that were born for their past alone. To be called when there is no more of it at hand. */
  buryUnreachable(nowMs: number): Action[] {
    return [...this.#devices].flatMap(([id, device]) => (device.reachable ? [] : this.#bury(id, device, nowMs)));
  }

  /** Metrics that are new or have a new type, after a change of the configuration. @returns a birth, where one is due. */
  define(device: string | undefined, definitions: readonly MetricDefinition[], nowMs: number): Action[] {
    const state = device === undefined ? undefined : this.#device(device);
    const metrics = state?.metrics ?? this.#own;
    const changed = definitions.filter((one) => metrics.define(one)).length > 0;
    if (!changed || this.#phase !== "born") return [];
    return state === undefined || state.born ? this.#birthOf(device, state, nowMs) : [];
  }

  /** The birth of a device; that of the node brings those of its devices with it. */
  #birthOf(id: string | undefined, device: DeviceState | undefined, nowMs: number): Action[] {
    if (id === undefined || device === undefined) return this.#births(nowMs);
    return [this.#deviceBirth(id, device, nowMs)];
  }

  #bury(id: string, device: DeviceState, nowMs: number): Action[] {
    if (this.#phase !== "born" || !device.born) return [];
    device.born = false;
    return [this.#publish("DDEATH", this.#topics.device("DDEATH", id), { metrics: [] }, nowMs)];
  }

  #dataOf(device: string | undefined, metrics: readonly Metric[], nowMs: number): Action {
    if (device === undefined) return this.#publish("NDATA", this.#topics.node("NDATA"), { metrics }, nowMs);
    return this.#publish("DDATA", this.#topics.device("DDATA", device), { metrics }, nowMs);
  }

  #ncmd(command: Payload, nowMs: number): Action[] {
    const { metrics } = command;
    const others = metrics.filter(({ name }) => name !== REBIRTH);
    const rebirth = metrics.some((one) => one.name === REBIRTH && isTrue(one));
    const actions = others.length > 0 ? [writeOf(undefined, { ...command, metrics: others }, this.#own)] : [];
    if (!rebirth) return actions;
    if (this.#phase !== "born") return [...actions, ...ignored("a rebirth was asked for before the birth")];
    return [...actions, ...this.#births(nowMs)];
  }

  #dcmd(id: string, command: Payload): Action[] {
    const device = this.#devices.get(id);
    return device === undefined
      ? ignored(`a command for the unknown device ${id}`)
      : [writeOf(id, command, device.metrics)];
  }

  #state(host: string, payload: Uint8Array, nowMs: number): Action[] {
    if (host !== this.#settings.primaryHost) return ignored(`the state of ${host}, which is not the primary host`);
    const state = readState(payload);
    if (state === undefined) return ignored(`the state of ${host} is not {"online":…,"timestamp":…}`);
    const last = this.#stateTimes.get(this.#server);
    if (last !== undefined && state.timestamp < last) return ignored(`an older state of ${host}`);
    this.#stateTimes.set(this.#server, state.timestamp);
    this.#hostOffline = !state.online;
    if (state.online) return this.#phase === "waiting" ? this.#births(nowMs) : [];
    // How long to wait for it on this server is the caller's to say.
    if (this.#phase === "waiting") return [];
    return [...this.leaving(nowMs), { kind: "leave", reason: `the primary host ${host} went offline` }];
  }

  /** NBIRTH with seq 0, and a DBIRTH of each device that can be reached. */
  #births(nowMs: number): Action[] {
    this.#phase = "born";
    this.#seq = 0;
    const metrics: Metric[] = [
      ...this.#own.birth(nowMs),
      this.#bdSeqMetric(nowMs),
      { name: REBIRTH, timestamp: nowMs, datatype: DataType.Boolean, value: false },
    ];
    const node = this.#publish("NBIRTH", this.#topics.node("NBIRTH"), { metrics: inOrder(metrics) }, nowMs);
    for (const device of this.#devices.values()) {
      device.born = false;
      device.declared = false;
    }
    const devices = [...this.#devices].filter(([, { reachable }]) => reachable);
    return [node, ...devices.map(([id, device]) => this.#deviceBirth(id, device, nowMs))];
  }

  #deviceBirth(id: string, device: DeviceState, nowMs: number): Action {
    // Hosts keep the aliases of a device until the next NBIRTH: one that is born again in between takes new ones.
    if (device.declared) device.metrics.renumber();
    device.born = true;
    device.declared = true;
    for (const sample of this.#settings.present?.(id) ?? []) device.metrics.learn(sample);
    const payload = { metrics: inOrder(device.metrics.birth(nowMs)) };
    return this.#publish("DBIRTH", this.#topics.device("DBIRTH", id), payload, nowMs);
  }

  #death(nowMs: number, qos: 0 | 1): NodePublish {
    const payload = encodePayload({ metrics: [this.#bdSeqMetric(nowMs)] });
    return { type: "NDEATH", topic: this.#topics.node("NDEATH"), payload, qos, retain: false };
  }

  #bdSeqMetric(nowMs: number): Metric {
    return { name: BDSEQ, timestamp: nowMs, datatype: DataType.Int64, value: this.#bdSeq };
  }

  #publish(type: NodePublish["type"], topic: string, { metrics }: Payload, nowMs: number): Action {
    const payload = encodePayload({ timestamp: nowMs, seq: this.#seq, metrics });
    this.#seq = (this.#seq + 1) % 256;
    return { kind: "publish", message: { type, topic, payload, qos: 0, retain: false } };
  }

  #device(id: string): DeviceState {
    let device = this.#devices.get(id);
    if (device === undefined) {
      device = { metrics: new MetricSet(this.#nextAlias), reachable: true, born: false, declared: false };
      this.#topics.device("DBIRTH", id);
      this.#devices.set(id, device);
    }
    return device;
  }
}

function writeOf(device: string | undefined, { metrics, timestamp: sentMs }: Payload, known: MetricSet): Action {
  const writes: Write[] = [];
  const unknown: string[] = [];
  for (const metric of metrics) {
    const found = known.find(metric);
    if (found === undefined) {
      unknown.push(metric.name ?? `alias ${metric.alias ?? "missing"}`);
      continue;
    }
    const { timestamp, isNull, wire } = metric;
    const value = isNull === true || wire === undefined ? undefined : fromWire(wire, metric.datatype ?? found.datatype);
    writes.push({ name: found.name, value, ...(timestamp === undefined ? {} : { timestamp }) });
  }
  const sent = sentMs ?? metrics.find(({ timestamp }) => timestamp !== undefined)?.timestamp;
  return {
    kind: "write",
    ...(device === undefined ? {} : { device }),
    writes,
    unknown,
    ...(sent === undefined ? {} : { timestamp: sent }),
  };
}

/** Values in order of time; what is equal stays in its place. */
function inOrder(metrics: readonly Metric[]): Metric[] {
  return metrics.toSorted((a, b) => (a.timestamp ?? 0) - (b.timestamp ?? 0));
}

function isTrue({ wire, isNull }: Metric): boolean {
  return isNull !== true && wire?.case === "booleanValue" && wire.value;
}

function ignored(reason: string): Action[] {
  return [{ kind: "ignored", reason }];
}
