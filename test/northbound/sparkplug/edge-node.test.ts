import { Buffer } from "node:buffer";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Quality, Value } from "../../../gateway/core/sample.ts";
import { DataType } from "../../../gateway/northbound/sparkplug/datatype.ts";
import { type Action, EdgeNode, type EdgeNodeSettings } from "../../../gateway/northbound/sparkplug/edge-node.ts";
import type { MetricSample } from "../../../gateway/northbound/sparkplug/metrics.ts";
import { decodePayload, encodePayload, type Metric } from "../../../gateway/northbound/sparkplug/payload.ts";
import { StrictHost } from "./host.ts";

const NOW = 1_732_300_000_000;
const settings = (over: Partial<EdgeNodeSettings> = {}): EdgeNodeSettings => ({
  group: "plant",
  node: "gw",
  aliases: true,
  devices: [
    {
      id: "press",
      metrics: [
        { name: "temperature", datatype: DataType.Float },
        { name: "count", datatype: DataType.UInt32 },
      ],
    },
  ],
  ...over,
});

const sample = (name: string, value: Value | undefined, over: Partial<MetricSample> = {}): MetricSample => ({
  name,
  value,
  quality: "good",
  timestamp: NOW,
  isHistorical: false,
  ...over,
});

const published = (actions: readonly Action[]) =>
  actions.flatMap((action) => (action.kind === "publish" ? [action.message] : []));
const types = (actions: readonly Action[]) => published(actions).map(({ type }) => type);
const payloads = (actions: readonly Action[]) => published(actions).map(({ payload }) => decodePayload(payload));
const bytes = (text: string) => Buffer.from(text);
const state = (online: boolean, timestamp: number) => bytes(JSON.stringify({ online, timestamp }));
const command = (...metrics: Metric[]) => encodePayload({ timestamp: NOW, metrics });
const NCMD = "spBv1.0/plant/NCMD/gw";
const DCMD = "spBv1.0/plant/DCMD/gw/press";
const STATE = "spBv1.0/STATE/scada";
const rebirth = command({ name: "Node Control/Rebirth", datatype: DataType.Boolean, value: true });

function bornNode(over: Partial<EdgeNodeSettings> = {}) {
  const node = new EdgeNode(settings(over));
  const terms = node.connecting(NOW);
  const actions = node.connected(NOW);
  return { node, terms, actions };
}

describe("session", () => {
  it("[tck-id-message-flow-edge-node-birth-publish-will-message] the will is NDEATH: QoS 1, not retained, bdSeq alone", () => {
    const { will, bdSeq } = new EdgeNode(settings()).connecting(NOW);
    expect(will).toMatchObject({ topic: "spBv1.0/plant/NDEATH/gw", qos: 1, retain: false });
    expect(decodePayload(will.payload)).toEqual({
      metrics: [{ name: "bdSeq", timestamp: NOW, datatype: 4, value: 0, wire: { case: "longValue", value: 0n } }],
    });
    expect(bdSeq).toBe(0);
  });

  it("[tck-id-topics-nbirth-bdseq-increment] bdSeq goes on from what was kept, by one for each CONNECT, 255 to 0", () => {
    const node = new EdgeNode(settings({ lastBdSeq: 254 }));
    expect([1, 2, 3].map(() => node.connecting(NOW).bdSeq)).toEqual([255, 0, 1]);
  });

  it("[tck-id-message-flow-edge-node-ncmd-subscribe] subscribes to NCMD and DCMD with QoS 1 before it is born", () => {
    const { actions } = bornNode();
    expect(actions[0]).toEqual({
      kind: "subscribe",
      subscriptions: [
        { filter: NCMD, qos: 1 },
        { filter: "spBv1.0/plant/DCMD/gw/+", qos: 1 },
      ],
    });
    expect(types(actions)).toEqual(["NBIRTH", "DBIRTH"]);
  });

  it("[tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath] says NDEATH before it leaves", () => {
    const { node, terms } = bornNode();
    const actions = node.leaving(NOW);
    expect(published(actions)[0]?.payload).toEqual(terms.will.payload);
    expect(node.leaving(NOW)).toEqual([]);
    expect(() => node.data("press", [sample("count", 1)], NOW)).toThrow(RangeError);
  });

  it.each(["", "a/b", "a+", "#"])("refuses the id %j", (id) => {
    expect(() => new EdgeNode(settings({ group: id }))).toThrow(RangeError);
    expect(() => new EdgeNode(settings({ devices: [{ id, metrics: [] }] }))).toThrow(RangeError);
  });
});

describe("births", () => {
  it("[tck-id-topics-nbirth-metrics] [tck-id-topics-dbirth-metrics] name every metric, null where nothing was read", () => {
    const [nbirth, dbirth] = payloads(bornNode().actions);
    expect(nbirth?.metrics.map(({ name, alias }) => [name, alias])).toEqual([
      ["bdSeq", undefined],
      ["Node Control/Rebirth", undefined],
    ]);
    expect(dbirth?.metrics).toMatchObject([
      { name: "temperature", alias: 1, datatype: 9, isNull: true, quality: "bad" },
      { name: "count", alias: 2, datatype: 7, isNull: true, quality: "bad" },
    ]);
    expect([nbirth?.seq, dbirth?.seq]).toEqual([0, 1]);
  });

  it("[tck-id-operational-behavior-data-commands-rebirth-action-3] a rebirth has the same bdSeq, seq 0 and the last values", () => {
    const { node, terms } = bornNode();
    node.data("press", [sample("temperature", 21.5)], NOW);
    const actions = node.message(NCMD, rebirth, NOW + 1000);
    expect(types(actions)).toEqual(["NBIRTH", "DBIRTH"]);
    const [nbirth, dbirth] = payloads(actions);
    expect(nbirth?.seq).toBe(0);
    expect(nbirth?.metrics.find(({ name }) => name === "bdSeq")?.value).toBe(terms.bdSeq);
    expect(dbirth?.metrics.find(({ name }) => name === "temperature")).toMatchObject({
      alias: 1,
      value: 21.5,
      timestamp: NOW,
    });
  });

  it.each([
    ["false", { value: false }],
    ["null", { isNull: true }],
  ])("a rebirth of %s is none", (_, over) => {
    const { node } = bornNode();
    const asked = command({ name: "Node Control/Rebirth", datatype: DataType.Boolean, ...over });
    expect(published(node.message(NCMD, asked, NOW))).toEqual([]);
  });

  it("a new metric, or a type that does not hold a value, is born before its data", () => {
    const { node } = bornNode();
    const actions = node.data("press", [sample("count", 1), sample("count", 1.5), sample("fresh", "x")], NOW);
    expect(types(actions)).toEqual(["DDATA", "DBIRTH", "DDATA", "DBIRTH", "DDATA"]);
    expect(payloads(actions)[3]?.metrics).toMatchObject([
      { name: "temperature" },
      { name: "count", datatype: DataType.Double, value: 1.5 },
      { name: "fresh", datatype: DataType.String, value: "x" },
    ]);
  });
});

describe("data", () => {
  it("[tck-id-payloads-alias-data-cmd-requirement] have alias, value and time, and neither name nor datatype", () => {
    const { node } = bornNode();
    node.data("press", [sample("count", 1), sample("temperature", 1)], NOW);
    const [ddata] = payloads(node.data("press", [sample("count", 4_000_000_000)], NOW + 5));
    expect(ddata).toEqual({
      timestamp: NOW + 5,
      seq: 3,
      metrics: [{ alias: 2, timestamp: NOW, wire: { case: "longValue", value: 4_000_000_000n } }],
    });
  });

  it("without aliases they have names", () => {
    const { node } = bornNode({ aliases: false });
    expect(payloads(node.data("press", [sample("count", 1)], NOW))[0]?.metrics).toMatchObject([{ name: "count" }]);
  });

  it("[tck-id-payloads-propertyset-quality-value-value] say each change of quality: 500 with the value, 0 with null", () => {
    const { node } = bornNode();
    const one = (quality: Quality, value: Value | undefined) => {
      const [payload] = payloads(node.data("press", [sample("count", value, { quality })], NOW));
      return payload?.metrics[0];
    };
    expect(one("good", 1)).toMatchObject({ quality: "good" });
    expect(one("good", 2)?.quality).toBeUndefined();
    expect(one("stale", 2)).toMatchObject({ quality: "stale", wire: { value: 2n } });
    expect(one("bad", 7)).toMatchObject({ quality: "bad", isNull: true });
    expect(one("good", 3)).toMatchObject({ quality: "good", wire: { value: 3n } });
    expect(one("good", 4)?.quality).toBeUndefined();
  });

  it("from the past say so, and do not become the present", () => {
    const { node } = bornNode();
    node.data("press", [sample("count", 9)], NOW);
    const past = sample("count", 3, { timestamp: NOW - 60_000, isHistorical: true });
    expect(payloads(node.data("press", [past], NOW))[0]?.metrics).toMatchObject([
      { isHistorical: true, timestamp: NOW - 60_000 },
    ]);
    const births = payloads(node.message(NCMD, rebirth, NOW));
    expect(births[1]?.metrics.find(({ name }) => name === "count")?.value).toBe(9);
  });

  it("come in order of time", () => {
    const { node } = bornNode();
    const actions = node.data("press", [sample("count", 2, { timestamp: NOW + 2 }), sample("count", 1)], NOW + 2);
    expect(payloads(actions)[0]?.metrics.map(({ timestamp }) => timestamp)).toEqual([NOW, NOW + 2]);
  });

  it("what is not finite is null", () => {
    const { node } = bornNode();
    expect(payloads(node.data("press", [sample("temperature", Number.NaN)], NOW))[0]?.metrics[0]?.isNull).toBe(true);
  });
});

describe("devices", () => {
  it("[tck-id-operational-behavior-device-ddeath] die once, and are born again by a good sample, not by a bad one", () => {
    const { node } = bornNode();
    expect(types(node.deviceOffline("press", NOW))).toEqual(["DDEATH"]);
    expect(node.deviceOffline("press", NOW)).toEqual([]);
    expect(node.data("press", [sample("count", undefined, { quality: "bad" })], NOW)).toEqual([]);
    expect(types(node.message(NCMD, rebirth, NOW))).toEqual(["NBIRTH"]);
    expect(types(node.data("press", [sample("count", 1)], NOW))).toEqual(["DBIRTH", "DDATA"]);
  });

  it("are born for their past, and buried when there is no more of it", () => {
    const { node } = bornNode();
    node.deviceOffline("press", NOW);
    const past = sample("count", 1, { isHistorical: true, timestamp: NOW - 1 });
    expect(types(node.data("press", [past], NOW))).toEqual(["DBIRTH", "DDATA"]);
    expect(types(node.data("press", [past], NOW))).toEqual(["DDATA"]);
    expect(types(node.buryUnreachable(NOW))).toEqual(["DDEATH"]);
    expect(node.buryUnreachable(NOW)).toEqual([]);
    expect(types(node.deviceOnline("press", NOW))).toEqual(["DBIRTH"]);
  });

  it("are born when they are first heard of", () => {
    const { node } = bornNode();
    expect(types(node.data("scale", [sample("weight", 1.5)], NOW))).toEqual(["DBIRTH", "DDATA"]);
  });
});

describe("commands", () => {
  it("[tck-id-operational-behavior-data-commands-dcmd-verb] are read by name or alias, in the type of the birth", () => {
    const { node } = bornNode();
    const asked = command(
      { alias: 2, value: 7, valueType: DataType.UInt16 },
      { name: "temperature", datatype: DataType.Double, value: 20.25, timestamp: NOW },
      { name: "nothing", datatype: DataType.String, value: "x" },
      { alias: 99, value: true, valueType: DataType.Boolean },
      { name: "count", isNull: true },
      { name: "temperature", datatype: DataType.String, value: "hot" },
    );
    expect(node.message(DCMD, asked, NOW)).toEqual([
      {
        kind: "write",
        timestamp: NOW,
        device: "press",
        writes: [
          { name: "count", value: 7 },
          { name: "temperature", value: 20.25, timestamp: NOW },
          { name: "count", value: undefined },
          { name: "temperature", value: "hot" },
        ],
        unknown: ["nothing", "alias 99"],
      },
    ]);
  });

  it("of the node come without a device, with a rebirth beside them", () => {
    const { node } = bornNode({ metrics: [{ name: "mode", datatype: DataType.Int16 }] });
    const asked = command(
      { name: "mode", datatype: DataType.Int16, value: -3 },
      { name: "Node Control/Rebirth", datatype: DataType.Boolean, value: true },
    );
    const actions = node.message(NCMD, asked, NOW);
    expect(actions[0]).toEqual({ kind: "write", timestamp: NOW, writes: [{ name: "mode", value: -3 }], unknown: [] });
    expect(types(actions)).toEqual(["NBIRTH", "DBIRTH"]);
  });

  it.each([
    ["no payload", DCMD, bytes("nonsense")],
    ["an unknown device", "spBv1.0/plant/DCMD/gw/nobody", command()],
    ["another node", "spBv1.0/plant/NCMD/other", command()],
    ["another namespace", "spAv1.0/plant/NCMD/gw", command()],
  ])("%s does nothing", (_, topic, payload) => {
    expect(bornNode().node.message(topic, payload, NOW)).toMatchObject([{ kind: "ignored" }]);
  });
});

describe("primary host", () => {
  function waiting() {
    const node = new EdgeNode(settings({ primaryHost: "scada" }));
    node.connecting(NOW, "a");
    return { node, actions: node.connected(NOW) };
  }

  it("[tck-id-message-flow-edge-node-birth-publish-phid-wait-online] no birth before it is online", () => {
    const { node, actions } = waiting();
    expect(types(actions)).toEqual([]);
    expect(actions[0]).toMatchObject({ subscriptions: [{}, {}, { filter: STATE, qos: 1 }] });
    expect(() => node.data("press", [sample("count", 1)], NOW)).toThrow(RangeError);
    expect(published(node.message(NCMD, rebirth, NOW))).toEqual([]);
    expect(node.message(STATE, state(false, 5), NOW)).toEqual([]);
    expect(types(node.message(STATE, state(true, 5), NOW))).toEqual(["NBIRTH", "DBIRTH"]);
    expect(node.message(STATE, state(true, 6), NOW)).toEqual([]);
  });

  it("[tck-id-message-flow-edge-node-birth-publish-phid-wait-id] another host does not count", () => {
    expect(waiting().node.message("spBv1.0/STATE/other", state(true, 5), NOW)).toMatchObject([{ kind: "ignored" }]);
  });

  it("[tck-id-message-flow-edge-node-birth-publish-phid-wait-timestamp] an older state does not count", () => {
    const { node } = waiting();
    node.message(STATE, state(false, 5), NOW);
    expect(node.message(STATE, state(true, 4), NOW)).toMatchObject([{ kind: "ignored" }]);
    expect(node.born).toBe(false);
  });

  it("[tck-id-operational-behavior-edge-node-termination-host-offline] NDEATH, then away when it goes offline", () => {
    const { node } = waiting();
    node.message(STATE, state(true, 5), NOW);
    const actions = node.message(STATE, state(false, 5), NOW);
    expect(types(actions)).toEqual(["NDEATH"]);
    expect(actions.at(-1)).toMatchObject({ kind: "leave" });
    expect(node.phase).toBe("offline");
  });

  it("[tck-id-operational-behavior-edge-node-termination-host-offline-timestamp] stays when that is older", () => {
    const { node } = waiting();
    node.message(STATE, state(true, 5), NOW);
    expect(node.message(STATE, state(false, 4), NOW)).toMatchObject([{ kind: "ignored" }]);
    expect(node.born).toBe(true);
  });

  it("another server has a state of its own; the same one has the same", () => {
    const { node } = waiting();
    node.message(STATE, state(true, 50), NOW);
    node.lost();
    node.connecting(NOW, "b");
    node.connected(NOW);
    expect(types(node.message(STATE, state(true, 10), NOW))).toContain("NBIRTH");
    node.lost();
    node.connecting(NOW, "a");
    node.connected(NOW);
    expect(node.message(STATE, state(true, 49), NOW)).toMatchObject([{ kind: "ignored" }]);
  });

  it.each(["ONLINE", "{}", '{"online":1,"timestamp":1}', '{"online":true}', "[]", "null", "\xff"])(
    "%j is no state",
    (text) => {
      expect(waiting().node.message(STATE, Buffer.from(text, "latin1"), NOW)).toMatchObject([{ kind: "ignored" }]);
    },
  );
});

const value = fc.oneof(
  fc.boolean(),
  fc.integer(),
  fc.double({ noNaN: false }),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
  fc.string(),
  fc.uint8Array({ maxLength: 8 }),
);
const samples = fc.array(
  fc.record({
    name: fc.constantFrom("temperature", "count", "x", "y"),
    quality: fc.constantFrom<Quality>("good", "bad", "stale"),
    value: fc.option(value, { nil: undefined }),
    timestamp: fc.integer({ min: NOW - 1000, max: NOW + 1000 }),
    isHistorical: fc.boolean(),
  }),
  { maxLength: 6 },
);
const device = fc.constantFrom(undefined, "press", "scale");
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("data" as const), device, samples }) },
  fc.record({
    kind: fc.constantFrom("offline" as const, "online" as const),
    device: fc.constantFrom("press", "scale"),
  }),
  fc.record({ kind: fc.constantFrom("rebirth" as const, "reconnect" as const, "bury" as const, "leave" as const) }),
  fc.record({
    kind: fc.constant("define" as const),
    device,
    type: fc.constantFrom(3 as const, 9 as const, 11 as const),
  }),
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** An edge node and the host that checks it, through one row of steps. */
class Trial {
  readonly #node: EdgeNode;
  readonly #host = new StrictHost();
  readonly #dead = new Set<string>();

  constructor(aliases: boolean) {
    this.#node = new EdgeNode(settings({ aliases, lastBdSeq: 250 }));
    this.#connect();
  }

  run(one: Step): void {
    switch (one.kind) {
      case "data":
        this.#data(one.device, one.samples);
        break;
      case "offline":
        this.#dead.add(one.device);
        this.#host.take(this.#node.deviceOffline(one.device, NOW));
        break;
      case "online":
        this.#dead.delete(one.device);
        this.#host.take(this.#node.deviceOnline(one.device, NOW));
        break;
      case "define":
        this.#host.take(this.#node.define(one.device, [{ name: "count", datatype: one.type }], NOW));
        break;
      default:
        this.#turn(one.kind);
    }
  }

  #turn(kind: "rebirth" | "reconnect" | "bury" | "leave"): void {
    if (kind === "rebirth") this.#host.take(this.#node.message(NCMD, rebirth, NOW));
    else if (kind === "bury") {
      this.#host.take(this.#node.buryUnreachable(NOW));
      for (const id of this.#dead) expect(this.#host.isOnline(id)).toBe(false);
    } else {
      if (kind === "leave") this.#host.take(this.#node.leaving(NOW));
      else this.#node.lost();
      this.#connect();
    }
  }

  #data(owner: string | undefined, list: readonly MetricSample[]): void {
    const before = this.#host.received.length;
    const id = owner ?? "";
    if (list.some((one) => !one.isHistorical && one.quality === "good")) this.#dead.delete(id);
    this.#host.take(this.#node.data(owner, list, NOW));
    const expected = list
      .filter((one) => one.isHistorical || !this.#dead.has(id))
      .toSorted((a, b) => a.timestamp - b.timestamp)
      .map((one) => [one.name, unsigned(said(one)), one.timestamp, one.isHistorical]);
    const heard = this.#host.received.slice(before);
    expect(heard.map((one) => [one.name, unsigned(one.value), one.timestamp, one.historical])).toEqual(expected);
  }

  #connect(): void {
    this.#host.connect(this.#node.connecting(NOW));
    this.#host.take(this.#node.connected(NOW));
  }
}

describe("whatever happens", () => {
  it("no rule is broken, and each sample of a reachable device is heard with its exact value", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.boolean(), (steps, aliases) => {
        const trial = new Trial(aliases);
        for (const one of steps) trial.run(one);
      }),
      { numRuns: Number(process.env["MILLRACE_RUNS"] ?? 50) },
    );
  });

  it("600 reconnects: bdSeq one more each time, seq without a hole", () => {
    const node = new EdgeNode(settings());
    const host = new StrictHost();
    for (let turn = 0; turn < 600; turn++) {
      const terms = node.connecting(NOW + turn);
      expect(terms.bdSeq).toBe(turn % 256);
      host.connect(terms);
      host.take(node.connected(NOW + turn));
      for (let i = 0; i < (turn % 100 === 7 ? 300 : 3); i++)
        host.take(node.data("press", [sample("count", i)], NOW + turn));
      node.lost();
    }
    expect(host.types.filter((type) => type === "NBIRTH")).toHaveLength(600);
  });
});

/** What a host has to hear of a sample. */
function said({ value: given, quality }: MetricSample): Value | undefined {
  if (quality === "bad" || given === undefined) return undefined;
  if (typeof given === "number") return Number.isFinite(given) ? given : undefined;
  return typeof given === "bigint" && Number.isSafeInteger(Number(given)) ? Number(given) : given;
}

/** Integers have one zero. */
function unsigned(given: Value | undefined): Value | undefined {
  return given === 0 ? 0 : given;
}
