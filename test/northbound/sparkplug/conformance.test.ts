import { fromBinary } from "@bufbuild/protobuf";
import { beforeAll, describe, expect, it } from "vitest";
import { DataType } from "../../../gateway/northbound/sparkplug/datatype.ts";
import type { Metric } from "../../../gateway/northbound/sparkplug/payload.ts";
import { PayloadSchema } from "../../../gateway/northbound/sparkplug/payload_pb.ts";
import { NOW } from "./plant.ts";
import { type Recording, record } from "./recording.ts";
import type { Said, Visit } from "./server.ts";

/** The assertions of the specification, on what an edge node says over real sockets. Each names those it is the test of. */

type Check = (recording: Recording) => void;
const rules: [ids: string, check: Check][] = [];
const rule = (ids: readonly string[], check: Check) => rules.push([ids.map((id) => `[${id}]`).join(" "), check]);

const all = ({ visits }: Recording): Said[] => visits.flatMap(({ said }) => said);
const of = (recording: Recording, ...types: string[]): Said[] =>
  all(recording).filter(({ type }) => types.includes(type));
/** Each message with the one before it in the session. */
const steps = ({ visits }: Recording) =>
  visits.flatMap(({ said }) => said.slice(1).map((now, at) => [said[at], now] as const));
const named = ({ payload }: Said, name: string): Metric | undefined => payload.metrics.find((one) => one.name === name);
const births = (recording: Recording) => of(recording, "NBIRTH", "DBIRTH");
const data = (recording: Recording) => of(recording, "NDATA", "DDATA");
interface Declared {
  readonly said: Said;
  readonly metric: Metric;
  /** By the births before it in the session. */
  readonly name: string | undefined;
  readonly known: ReadonlyMap<string, Metric>;
}

/** Each metric of data, with what the births before it declared. */
function declared({ visits }: Recording): Declared[] {
  return visits.flatMap(({ said: list }) => {
    const byDevice = new Map<string, ReadonlyMap<string, Metric>>();
    const byAlias = new Map<number, string>();
    return list.flatMap((said) => {
      const { type, device = "", payload } = said;
      if (type === "NBIRTH") byDevice.clear();
      if (type === "NBIRTH" || type === "DBIRTH") {
        byDevice.set(device, new Map(payload.metrics.map((metric) => [metric.name ?? "", metric])));
        for (const { alias = -1, name = "" } of payload.metrics) byAlias.set(alias, name);
      }
      if (type !== "NDATA" && type !== "DDATA") return [];
      const known = byDevice.get(device) ?? new Map<string, Metric>();
      return payload.metrics.map((metric) => ({
        ...{ said, metric, known },
        name: metric.name ?? byAlias.get(metric.alias ?? -1),
      }));
    });
  });
}
const raw = ({ bytes }: Said) => fromBinary(PayloadSchema, bytes);

rule(
  [
    "tck-id-topic-structure",
    "tck-id-topic-structure-namespace-a",
    "tck-id-intro-group-id-string",
    "tck-id-intro-edge-node-id-string",
    "tck-id-intro-device-id-string",
  ],
  (recording) => {
    for (const { topic } of all(recording))
      expect(topic).toMatch(
        /^spBv1\.0\/plant\/N(BIRTH|DATA|DEATH)\/gw$|^spBv1\.0\/plant\/D(BIRTH|DATA|DEATH)\/gw\/(press|oven)$/,
      );
  },
);
rule(
  [
    "tck-id-topic-structure-namespace-device-id-associated-message-types",
    "tck-id-topics-dbirth-topic",
    "tck-id-topics-ddata-topic",
    "tck-id-topics-ddeath-topic",
    "tck-id-message-flow-device-birth-publish-dbirth-topic",
  ],
  (recording) => {
    for (const type of ["DBIRTH", "DDATA", "DDEATH"]) {
      expect(of(recording, type).length).toBeGreaterThan(0);
      for (const { topic, device } of of(recording, type)) expect(topic).toBe(`spBv1.0/plant/${type}/gw/${device}`);
    }
  },
);
rule(
  [
    "tck-id-topic-structure-namespace-device-id-non-associated-message-types",
    "tck-id-topics-nbirth-topic",
    "tck-id-topics-ndata-topic",
    "tck-id-topics-ndeath-topic",
    "tck-id-message-flow-edge-node-birth-publish-nbirth-topic",
  ],
  (recording) => {
    for (const type of ["NBIRTH", "NDATA", "NDEATH"]) {
      expect(of(recording, type).length).toBeGreaterThan(0);
      for (const { topic } of of(recording, type)) expect(topic).toBe(`spBv1.0/plant/${type}/gw`);
    }
  },
);
rule(["tck-id-message-flow-device-birth-publish-dbirth-match-edge-node-topic"], (recording) => {
  const node = (said: Said) => [said.topic.split("/")[1], said.topic.split("/")[3]];
  const [first] = of(recording, "NBIRTH");
  for (const one of of(recording, "DBIRTH")) expect(node(one)).toEqual(first && node(first));
});
rule(["tck-id-topic-structure-namespace-unique-device-id"], (recording) => {
  for (const { said } of recording.visits) {
    const devices = said.slice(1, 3).map(({ device }) => device);
    expect(devices).toEqual(["press", "oven"]);
  }
});

rule(
  [
    "tck-id-principles-persistence-clean-session-311",
    "tck-id-principles-persistence-clean-session-50",
    "tck-id-message-flow-edge-node-birth-publish-connect",
  ],
  ({ version, visits }) => {
    expect(visits).toHaveLength(3);
    for (const { connect } of visits) {
      expect(connect).toMatchObject({ clean: true, protocolVersion: version });
      if (version === 5) expect(connect.properties?.sessionExpiryInterval ?? 0).toBe(0);
    }
  },
);
rule(
  [
    "tck-id-payloads-ndeath-will-message",
    "tck-id-payloads-ndeath-will-message-qos",
    "tck-id-payloads-ndeath-will-message-retain",
    "tck-id-message-flow-edge-node-birth-publish-will-message",
    "tck-id-message-flow-edge-node-birth-publish-will-message-topic",
    "tck-id-message-flow-edge-node-birth-publish-will-message-qos",
    "tck-id-message-flow-edge-node-birth-publish-will-message-will-retained",
  ],
  ({ visits }) => {
    for (const { will } of visits)
      expect(will).toMatchObject({ topic: "spBv1.0/plant/NDEATH/gw", qos: 1, retain: false });
  },
);
rule(
  [
    "tck-id-message-flow-edge-node-birth-publish-will-message-payload",
    "tck-id-message-flow-edge-node-birth-publish-will-message-payload-bdSeq",
    "tck-id-topics-ndeath-payload",
    "tck-id-topics-ndeath-seq",
    "tck-id-payloads-ndeath-seq",
  ],
  (recording) => {
    const deaths = [
      ...recording.visits.map(({ will }) => will.payload),
      ...of(recording, "NDEATH").map(({ payload }) => payload),
    ];
    for (const { metrics, seq } of deaths) {
      expect(metrics).toMatchObject([{ name: "bdSeq", datatype: DataType.Int64 }]);
      expect(seq).toBeUndefined();
    }
  },
);
rule(["tck-id-topics-nbirth-bdseq-increment"], ({ visits }) => {
  expect(visits.map(({ will }) => will.payload.metrics[0]?.value)).toEqual([0, 1, 2]);
});
rule(
  [
    "tck-id-topics-nbirth-bdseq-included",
    "tck-id-topics-nbirth-bdseq-matching",
    "tck-id-payloads-nbirth-bdseq",
    "tck-id-payloads-nbirth-bdseq-repeat",
    "tck-id-payloads-ndeath-bdseq",
    "tck-id-message-flow-edge-node-birth-publish-nbirth-payload-bdSeq",
    "tck-id-operational-behavior-data-commands-rebirth-action-3",
  ],
  ({ visits }) => {
    for (const { said, will } of visits) {
      const nodeBirths = said.filter(({ type }) => type === "NBIRTH");
      expect(nodeBirths.length).toBeGreaterThan(0);
      for (const one of nodeBirths)
        expect(named(one, "bdSeq")).toMatchObject({ datatype: DataType.Int64, value: will.payload.metrics[0]?.value });
    }
  },
);

rule(
  [
    "tck-id-message-flow-edge-node-ncmd-subscribe",
    "tck-id-message-flow-device-dcmd-subscribe",
    "tck-id-topics-ncmd-topic",
    "tck-id-topics-dcmd-topic",
  ],
  ({ visits }) => {
    for (const { subscribe } of visits) {
      expect(subscribe.subscriptions).toMatchObject([
        { topic: "spBv1.0/plant/NCMD/gw", qos: 1 },
        { topic: "spBv1.0/plant/DCMD/gw/+", qos: 1 },
      ]);
    }
  },
);
rule(
  [
    "tck-id-principles-birth-certificates-order",
    "tck-id-message-flow-device-birth-publish-nbirth-wait",
    "tck-id-payloads-dbirth-order",
    "tck-id-payloads-ndata-order",
    "tck-id-payloads-ddata-order",
  ],
  ({ visits }) => {
    for (const { packets, types } of visits) {
      expect(packets.map(({ cmd }) => cmd).slice(0, 3)).toEqual(["connect", "subscribe", "publish"]);
      expect(types.slice(0, 3)).toEqual(["NBIRTH", "DBIRTH press", "DBIRTH oven"]);
    }
  },
);

rule(
  [
    "tck-id-topics-nbirth-mqtt",
    "tck-id-payloads-nbirth-qos",
    "tck-id-payloads-nbirth-retain",
    "tck-id-message-flow-edge-node-birth-publish-nbirth-qos",
    "tck-id-message-flow-edge-node-birth-publish-nbirth-retained",
  ],
  (recording) => quiet(of(recording, "NBIRTH")),
);
rule(
  [
    "tck-id-topics-dbirth-mqtt",
    "tck-id-payloads-dbirth-qos",
    "tck-id-payloads-dbirth-retain",
    "tck-id-message-flow-device-birth-publish-dbirth-qos",
    "tck-id-message-flow-device-birth-publish-dbirth-retained",
  ],
  (recording) => quiet(of(recording, "DBIRTH")),
);
rule(["tck-id-topics-ndata-mqtt", "tck-id-payloads-ndata-qos", "tck-id-payloads-ndata-retain"], (recording) =>
  quiet(of(recording, "NDATA")),
);
rule(["tck-id-topics-ddata-mqtt", "tck-id-payloads-ddata-qos", "tck-id-payloads-ddata-retain"], (recording) =>
  quiet(of(recording, "DDATA")),
);
rule(["tck-id-topics-ddeath-mqtt"], (recording) => quiet(of(recording, "DDEATH")));

function quiet(list: readonly Said[]): void {
  expect(list.length).toBeGreaterThan(0);
  for (const { qos, retain } of list) expect([qos, retain]).toEqual([0, false]);
}

rule(
  [
    "tck-id-topics-nbirth-seq-num",
    "tck-id-payloads-nbirth-seq",
    "tck-id-payloads-sequence-num-req-nbirth",
    "tck-id-message-flow-edge-node-birth-publish-nbirth-payload-seq",
  ],
  (recording) => {
    for (const { payload } of of(recording, "NBIRTH")) expect(payload.seq).toBe(0);
  },
);
for (const [type, ids] of [
  [
    "DBIRTH",
    [
      "tck-id-topics-dbirth-seq",
      "tck-id-payloads-dbirth-seq",
      "tck-id-payloads-dbirth-seq-inc",
      "tck-id-message-flow-device-birth-publish-dbirth-payload-seq",
    ],
  ],
  ["NDATA", ["tck-id-topics-ndata-seq-num", "tck-id-payloads-ndata-seq", "tck-id-payloads-ndata-seq-inc"]],
  ["DDATA", ["tck-id-topics-ddata-seq-num", "tck-id-payloads-ddata-seq", "tck-id-payloads-ddata-seq-inc"]],
  [
    "DDEATH",
    [
      "tck-id-topics-ddeath-seq-num",
      "tck-id-payloads-ddeath-seq",
      "tck-id-payloads-ddeath-seq-inc",
      "tck-id-payloads-ddeath-seq-number",
    ],
  ],
] as const) {
  rule(ids, (recording) => {
    const own = steps(recording).filter(([, { type: present }]) => present === type);
    expect(own.length).toBeGreaterThan(0);
    for (const [before, { payload }] of own) expect(payload.seq).toBe(((before?.payload.seq ?? 0) + 1) % 256);
  });
}
rule(["tck-id-payloads-sequence-num-always-included", "tck-id-payloads-sequence-num-incrementing"], (recording) => {
  let wraps = 0;
  for (const [before, { type, payload }] of steps(recording)) {
    if (type === "NDEATH") continue;
    expect(payload.seq).toBe(type === "NBIRTH" ? 0 : ((before?.payload.seq ?? 0) + 1) % 256);
    if (type !== "NBIRTH" && payload.seq === 0) wraps++;
  }
  expect(wraps).toBeGreaterThan(0);
});

for (const [type, ids] of [
  ["NBIRTH", ["tck-id-topics-nbirth-timestamp", "tck-id-payloads-nbirth-timestamp"]],
  ["DBIRTH", ["tck-id-topics-dbirth-timestamp", "tck-id-payloads-dbirth-timestamp"]],
  ["NDATA", ["tck-id-topics-ndata-timestamp", "tck-id-payloads-ndata-timestamp"]],
  ["DDATA", ["tck-id-topics-ddata-timestamp", "tck-id-payloads-ddata-timestamp"]],
  ["DDEATH", ["tck-id-payloads-ddeath-timestamp"]],
] as const) {
  // The clock of the recording goes on from NOW by a millisecond at each look.
  rule(ids, (recording) => {
    const times = of(recording, type).map(({ payload }) => payload.timestamp ?? 0);
    for (const time of times) expect(time).toBeGreaterThan(NOW);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  });
}
rule(
  [
    "tck-id-payloads-timestamp-in-UTC",
    "tck-id-payloads-metric-timestamp-in-UTC",
    "tck-id-payloads-name-birth-data-requirement",
  ],
  (recording) => {
    for (const { payload } of [...births(recording), ...data(recording)]) {
      for (const { timestamp } of payload.metrics) expect(Math.abs((timestamp ?? 0) - NOW)).toBeLessThan(86_400_000);
    }
  },
);

rule(
  [
    "tck-id-topics-nbirth-metrics",
    "tck-id-payloads-metric-datatype-req",
    "tck-id-message-flow-edge-node-birth-publish-nbirth-payload",
    "tck-id-operational-behavior-data-publish-nbirth-values",
  ],
  (recording) => whole(of(recording, "NBIRTH")),
);
rule(
  [
    "tck-id-topics-dbirth-metrics",
    "tck-id-message-flow-device-birth-publish-dbirth-payload",
    "tck-id-operational-behavior-data-publish-dbirth-values",
  ],
  (recording) => {
    whole(of(recording, "DBIRTH"));
    // What was read before there was a connection is in the first birth; what was never read is null.
    const [first] = of(recording, "DBIRTH");
    expect(first && named(first, "count")).toMatchObject({ value: 7, timestamp: NOW - 50, quality: "good" });
    expect(first && named(first, "run")).toMatchObject({ isNull: true, timestamp: NOW - 90, quality: "bad" });
    expect(first && named(first, "temperature")).toMatchObject({ isNull: true, quality: "bad" });
  },
);
function whole(list: readonly Said[]): void {
  expect(list.length).toBeGreaterThan(0);
  for (const { payload } of list) {
    for (const { name, datatype, value, wire, isNull } of payload.metrics) {
      expect([name, datatype]).not.toContain(undefined);
      expect(isNull === true ? wire : value, name).toEqual(isNull === true ? undefined : expect.anything());
    }
  }
}
rule(["tck-id-payloads-metric-datatype-value", "tck-id-payloads-metric-datatype-value-type"], (recording) => {
  for (const { payload } of births(recording)) {
    for (const { datatype } of payload.metrics) expect(Object.values(DataType)).toContain(datatype);
  }
});
rule(["tck-id-payloads-metric-datatype-not-req"], (recording) => {
  for (const { metric } of declared(recording)) expect(metric.datatype).toBeUndefined();
});
rule(
  [
    "tck-id-topics-nbirth-metric-reqs",
    "tck-id-topics-dbirth-metric-reqs",
    "tck-id-operational-behavior-data-publish-nbirth",
    "tck-id-operational-behavior-data-publish-dbirth",
  ],
  (recording) => {
    let count = 0;
    for (const { said, name, known } of declared(recording)) {
      expect(known.has(name ?? "?"), `${name} of ${said.topic}`).toBe(true);
      count++;
    }
    expect(count).toBeGreaterThan(600);
  },
);
rule(
  [
    "tck-id-topics-ndata-payload",
    "tck-id-topics-ddata-payload",
    "tck-id-principles-rbe-recommended",
    "tck-id-operational-behavior-data-publish-nbirth-change",
    "tck-id-operational-behavior-data-publish-dbirth-change",
  ],
  (recording) => {
    // One message for each record that was given, with its samples and no others.
    for (const { payload } of data(recording)) expect(payload.metrics.length).toBeGreaterThan(0);
    const [third] = recording.visits.slice(2);
    expect(third?.types).toEqual(["NBIRTH", "DBIRTH press", "DBIRTH oven", "NDEATH"]);
    expect(recording.visits[1]?.types).toEqual(["NBIRTH", "DBIRTH press", "DBIRTH oven", "DDATA press", "NDEATH"]);
  },
);
rule(
  ["tck-id-operational-behavior-data-publish-nbirth-order", "tck-id-operational-behavior-data-publish-dbirth-order"],
  (recording) => {
    for (const { payload } of [...births(recording), ...data(recording)]) {
      const times = payload.metrics
        .filter(({ isHistorical }) => isHistorical !== true)
        .map(({ timestamp }) => timestamp ?? 0);
      expect(times).toEqual(times.toSorted((a, b) => a - b));
    }
  },
);

rule(
  [
    "tck-id-payloads-alias-birth-requirement",
    "tck-id-payloads-alias-uniqueness",
    "tck-id-operational-behavior-data-commands-rebirth-name-aliases",
  ],
  (recording) => {
    const seen = new Map<number, string>();
    for (const { payload, device } of births(recording)) {
      for (const { name, alias } of payload.metrics) {
        const own = name === "bdSeq" || name === "Node Control/Rebirth";
        expect(alias !== undefined, name).toBe(recording.aliases && !own);
        if (alias === undefined) continue;
        const at = `${device}/${name}`;
        expect(seen.get(alias) ?? at).toBe(at);
        seen.set(alias, at);
      }
    }
  },
);
rule(["tck-id-payloads-alias-data-cmd-requirement", "tck-id-payloads-name-requirement"], (recording) => {
  for (const { metric } of declared(recording))
    expect([metric.name === undefined, metric.alias === undefined]).toEqual([recording.aliases, !recording.aliases]);
});

rule(
  [
    "tck-id-topics-nbirth-rebirth-metric",
    "tck-id-payloads-nbirth-rebirth-req",
    "tck-id-operational-behavior-data-commands-rebirth-name",
    "tck-id-operational-behavior-data-commands-rebirth-datatype",
    "tck-id-operational-behavior-data-commands-rebirth-value",
  ],
  (recording) => {
    for (const one of of(recording, "NBIRTH"))
      expect(named(one, "Node Control/Rebirth")).toMatchObject({ datatype: DataType.Boolean, value: false });
  },
);
rule(
  [
    "tck-id-operational-behavior-data-commands-rebirth-action-1",
    "tck-id-operational-behavior-data-commands-rebirth-action-2",
  ],
  ({ visits, rebirthAt }) => {
    expect(visits[0]?.types.slice(rebirthAt, rebirthAt + 4)).toEqual([
      "NBIRTH",
      "DBIRTH press",
      "DBIRTH oven",
      "DDATA press",
    ]);
  },
);

rule(["tck-id-operational-behavior-device-ddeath"], ({ visits }) => {
  const types = visits[0]?.types ?? [];
  const at = types.indexOf("DDEATH oven");
  // Born for its past alone, buried again, and born when it answered.
  expect(types.slice(at, at + 5)).toEqual(["DDEATH oven", "DBIRTH oven", "DDATA oven", "DDEATH oven", "DBIRTH oven"]);
});
rule(
  [
    "tck-id-payloads-propertyset-keys-array-size",
    "tck-id-payloads-propertyset-values-array-size",
    "tck-id-payloads-metric-propertyvalue-type-type",
    "tck-id-payloads-metric-propertyvalue-type-value",
    "tck-id-payloads-metric-propertyvalue-type-req",
    "tck-id-payloads-propertyset-quality-value-type",
    "tck-id-payloads-propertyset-quality-value-value",
  ],
  (recording) => {
    const codes = new Set<number>();
    for (const one of [...births(recording), ...data(recording)]) {
      for (const { properties } of raw(one).metrics) {
        if (properties === undefined) continue;
        expect(properties.keys).toEqual(["Quality"]);
        expect(properties.values).toHaveLength(1);
        expect(properties.values[0]).toMatchObject({ type: 3, value: { case: "intValue" } });
        codes.add(Number(properties.values[0]?.value.value));
      }
    }
    expect([...codes].toSorted((a, b) => a - b)).toEqual([0, 192, 500]);
  },
);

rule(
  [
    "tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath",
    "tck-id-operational-behavior-edge-node-intentional-disconnect-packet",
    "tck-id-payloads-ndeath-will-message-publisher",
    "tck-id-payloads-ndeath-will-message-publisher-disconnect-mqtt311",
  ],
  ({ visits }) => {
    for (const { packets, types } of visits.slice(1)) {
      expect(types.at(-1)).toBe("NDEATH");
      expect(packets.slice(-2).map(({ cmd }) => cmd)).toEqual(["publish", "disconnect"]);
    }
  },
);
rule(["tck-id-payloads-ndeath-will-message-publisher-disconnect-mqtt50"], ({ visits, version }) => {
  const codes = visits.map(({ disconnect }: Visit) => disconnect?.reasonCode);
  expect(codes).toEqual([undefined, ...(version === 5 ? [4, 4] : [undefined, undefined])]);
});

describe.each([
  [5, true],
  [4, false],
] as const)("MQTT %i, aliases %s", (version, aliases) => {
  let recording: Recording;
  beforeAll(async () => {
    recording = await record(version, aliases);
  });

  it.each(rules)("%s", (_ids, check) => check(recording));

  it("data of the past are marked, and no others", () => {
    const past = declared(recording)
      .filter(({ metric }) => metric.isHistorical === true)
      .map(({ name }) => name);
    expect(past).toEqual(["temperature", "count", "heat"]);
  });

  it("a DCMD becomes a command with an id, an expiry and its sender", () => {
    const [{ device, body, from } = { device: "", body: {}, from: "" }] = recording.plant.commands;
    expect([device, from]).toEqual(["press", "uplink cloud (DCMD)"]);
    expect(body).toMatchObject({ expires: NOW + 30_000, writes: [{ tag: "count", value: 9 }] });
    expect(body["id"]).toMatch(/^sparkplug\/cloud\/1732300000000-[0-9a-f]{24}$/);
  });
});
