import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { ConfigError, NotConnectedError } from "../../../gateway/core/errors.ts";
import type { Outgoing, Uplink, UplinkContext } from "../../../gateway/core/uplink.ts";
import { DataType } from "../../../gateway/northbound/sparkplug/datatype.ts";
import { sparkplugModule } from "../../../gateway/northbound/sparkplug/module.ts";
import { live, recordingLogger } from "../mqtt/harness.ts";
import { until } from "../until.ts";
import { captured, edgeNode, NOW, OVEN, PRESS, scan, testPlant } from "./plant.ts";
import { deliver } from "./recording.ts";
import { NodeServer } from "./server.ts";

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

async function server(): Promise<NodeServer> {
  const made = await new NodeServer().listen();
  cleanUp.push(() => made.close());
  return made;
}

function node(options: Record<string, unknown>, over: Partial<UplinkContext> = {}): () => Uplink {
  const make = edgeNode(options, over);
  return () => {
    const uplink = make();
    cleanUp.push(() => uplink.close());
    return uplink;
  };
}

interface Connected {
  readonly uplink: Uplink;
  readonly lost: Error[];
}
async function connected(make: () => Uplink): Promise<Connected> {
  const lost: Error[] = [];
  const uplink = make();
  await uplink.connect((error) => lost.push(error), live());
  return { uplink, lost };
}

const online = (timestamp = NOW) => ({ online: true, timestamp });
const offline = (timestamp = NOW) => ({ online: false, timestamp });
const births = ["NBIRTH", "DBIRTH press", "DBIRTH oven"];
const said = (broker: NodeServer, types: readonly string[]) => until(() => expect(broker.last.types).toEqual(types));

describe("the primary host", () => {
  it("[tck-id-message-flow-edge-node-birth-publish-phid-wait] [tck-id-operational-behavior-edge-node-birth-sequence-wait] [tck-id-operational-behavior-primary-application-state-with-multiple-servers-state-subs] nothing is born before its STATE says online", async () => {
    const broker = await server();
    broker.state = offline();
    const joining = connected(node({ url: broker.url, primaryHost: "scada" }));
    await until(() => expect(broker.last.packets.some(({ cmd }) => cmd === "puback")).toBe(true));
    expect(broker.last.subscribe.subscriptions).toMatchObject([{}, {}, { topic: "spBv1.0/STATE/scada", qos: 1 }]);
    expect(broker.last.types).toEqual([]);
    broker.says(online(NOW + 1), "another");
    broker.says(online(NOW + 1));
    const { uplink } = await joining;
    await deliver(uplink, [scan("press", [["count", 1]])]);
    expect(broker.last.types).toEqual([...births, "DDATA press"]);
  });

  it("[tck-id-message-flow-edge-node-birth-publish-phid-offline] NDEATH and away at once when it goes offline, and back for the next online", async () => {
    const broker = await server();
    broker.state = online();
    const make = node({ url: broker.url, primaryHost: "scada" });
    const { lost } = await connected(make);
    broker.says(offline(NOW - 1));
    broker.says(offline(NOW + 1));
    await until(() => expect(lost).toHaveLength(1));
    expect(lost[0]?.message).toBe("the primary host scada went offline");
    expect(broker.last.types).toEqual([...births, "NDEATH"]);
    expect(broker.last.disconnect).toMatchObject({ reasonCode: 4 });
    broker.state = online(NOW + 2);
    await connected(make);
    await said(broker, births);
  });

  it("[tck-id-operational-behavior-primary-application-state-with-multiple-servers-walk] [tck-id-operational-behavior-primary-application-state-with-multiple-servers-single-server] [tck-id-operational-behavior-edge-node-termination-host-offline-reconnect] walks from server to server, with one connection at a time", async () => {
    const [one, two] = [await server(), await server()];
    one.state = offline();
    two.state = online();
    const make = node({ url: one.url, urls: [two.url], primaryHost: "scada", failBack: "100ms" });
    const { lost } = await connected(make);
    await said(two, births);
    await until(() => expect(one.last.closed).toBe(true));
    expect(one.last.types).toEqual(["NDEATH"]);
    one.state = online(NOW + 5);
    two.says(offline(NOW + 5));
    await until(() => expect(lost).toHaveLength(1));
    await until(() => expect(two.last.closed).toBe(true));
    await connected(make);
    expect([one.visits.length, two.visits.length]).toEqual([2, 1]);
    expect(one.last.will.payload.metrics[0]?.value).toBe(2);
  });

  it("a server that says nothing of it is left after `hostTimeout`, where there are others", async () => {
    const [one, two] = [await server(), await server()];
    two.state = online();
    await connected(node({ url: one.url, urls: [two.url], primaryHost: "scada", hostTimeout: "100ms" }));
    await said(two, births);
    expect(one.last.types).toEqual(["NDEATH"]);
  });

  it("fails when it is online nowhere, naming each", async () => {
    const [one, two] = [await server(), await server()];
    one.state = offline();
    two.state = offline();
    const make = node({ url: one.url, urls: [two.url], primaryHost: "scada" });
    await expect(connected(make)).rejects.toThrow(
      "the primary host scada is offline; the primary host scada is offline",
    );
  });
});

describe("bdSeq", () => {
  it("goes on over restarts, one for each CONNECT packet, also those that are refused", async () => {
    const broker = await server();
    const dataDir = mkdtempSync(join(tmpdir(), "millrace-bdseq-"));
    cleanUp.push(() => rmSync(dataDir, { recursive: true, force: true }));
    const again = () => connected(node({ url: broker.url }, { dataDir }));
    await again();
    broker.connack = ({ protocolVersion }) => (protocolVersion === 5 ? 0x84 : 0);
    await again();
    broker.connack = 0x88;
    await expect(again()).rejects.toThrow(NotConnectedError);
    broker.connack = 0;
    await again();
    expect(broker.visits.map(({ will }) => will.payload.metrics[0]?.value)).toEqual([0, 1, 2, 3, 4]);
    const file = join(dataDir, "sparkplug", "cloud.json");
    expect(readFileSync(file, "utf8")).toBe('{"bdSeq":4}\n');
    writeFileSync(file, '{"bdSeq":255}');
    await again();
    expect(broker.last.will.payload.metrics[0]?.value).toBe(0);
    writeFileSync(file, "{");
    const { log, lines } = recordingLogger();
    await connected(node({ url: broker.url }, { dataDir, log }));
    expect(broker.last.will.payload.metrics[0]?.value).toBe(0);
    expect(lines.filter(({ level }) => level === "warn")).toMatchObject([
      { message: "bdSeq cannot be read; it begins at 0" },
    ]);
  });

  it("a disk that refuses is told, and data flow", async () => {
    const broker = await server();
    const { log, lines } = recordingLogger();
    await connected(node({ url: broker.url }, { dataDir: import.meta.filename, log }));
    await said(broker, births);
    expect(lines.filter(({ level }) => level === "error")).toMatchObject([
      { message: "bdSeq cannot be kept over a restart" },
    ]);
  });
});

describe("connecting", () => {
  it("a server that refuses the subscription needs a person", async () => {
    const broker = await server();
    broker.suback = 0x87;
    await expect(connected(node({ url: broker.url }))).rejects.toThrow(ConfigError);
  });

  it("a server without a will of QoS 1 cannot be used", async () => {
    const broker = await server();
    broker.connack = 0x9b;
    await expect(connected(node({ url: broker.url }))).rejects.toThrow("the server takes no will of QoS 1");
  });

  it("a birth that is too long for the server needs a person", async () => {
    const broker = await server();
    broker.properties = { maximumPacketSize: 150 };
    await expect(connected(node({ url: broker.url }))).rejects.toThrow(
      /has \d+ bytes, and the server takes 150; spread/,
    );
  });

  it("a device that does not answer is not born", async () => {
    const broker = await server();
    const plant = testPlant();
    plant.dead.add("oven");
    const { uplink } = await connected(node({ url: broker.url }, { plant }));
    await said(broker, ["NBIRTH", "DBIRTH press"]);
    plant.dead.delete("oven");
    await deliver(uplink, [scan("oven", [["heat", 20]])]);
    expect(broker.last.types).toEqual(["NBIRTH", "DBIRTH press", "DBIRTH oven", "DDATA oven"]);
  });

  it("[tck-id-case-sensitivity-sparkplug-ids] [tck-id-case-sensitivity-metric-names] warns of names that differ only by case", async () => {
    const broker = await server();
    const { log, lines } = recordingLogger();
    const [first] = PRESS;
    const tags = first === undefined ? [] : [first, { ...first, name: "Temperature" }];
    await connected(
      node(
        { url: broker.url },
        {
          log,
          plant: testPlant([
            { name: "press", tags },
            { name: "PRESS", tags: OVEN },
          ]),
        },
      ),
    );
    const warned = lines.filter(({ message }) => message.startsWith("names that differ only by case"));
    expect(warned.map(({ fields }) => fields)).toEqual([
      { where: "devices", names: ["press", "PRESS"] },
      { where: "press", names: ["temperature", "Temperature"] },
    ]);
  });
});

describe("records", () => {
  it("those that never fit are refused, and take no seq", async () => {
    const broker = await server();
    broker.properties = { maximumPacketSize: 600 };
    const { uplink } = await connected(node({ url: broker.url, messages: "metrics" }));
    const long = captured("plant/scan/1", "x".repeat(600));
    expect(await deliver(uplink, [long, scan("press", [["count", 1]])])).toEqual(["reject", "ack"]);
    expect(broker.last.said.map(({ payload }) => payload.seq)).toEqual([0, 1, 2, 3]);
  });

  it("one with more samples than fit goes as several messages", async () => {
    const broker = await server();
    const tags = Array.from({ length: 12 }, (_, i) => ({ ...(OVEN[0] ?? PRESS[0]), name: `t${i}` })).flatMap((tag) =>
      "type" in tag ? [{ type: "float64", everyMs: 1, stream: "telemetry" as const, options: {}, ...tag }] : [],
    );
    broker.properties = { maximumPacketSize: 900 };
    const { uplink } = await connected(node({ url: broker.url }, { plant: testPlant([{ name: "press", tags }]) }));
    const long = scan("press", [...tags.map(({ name }, i) => [name, i + 0.5] as const)]);
    expect(await deliver(uplink, [long])).toEqual(["ack"]);
    const sent = broker.last.said.filter(({ type }) => type === "DDATA");
    expect(sent.length).toBeGreaterThan(1);
    expect(sent.flatMap(({ payload }) => payload.metrics)).toHaveLength(12);
  });

  it("captured messages are metrics of the node, or refused", async () => {
    const broker = await server();
    const { uplink } = await connected(node({ url: broker.url, aliases: false }));
    expect(
      await deliver(uplink, [captured("plant/scan/1", "4711"), captured("plant/image", Uint8Array.from([255]))]),
    ).toEqual(["ack", "ack"]);
    const [, , , again, data] = broker.last.said;
    expect(again?.payload.metrics.find(({ name }) => name === "plant/scan/1")).toMatchObject({
      datatype: DataType.String,
      value: "4711",
    });
    expect(data?.type).toBe("DBIRTH");
    const names = broker.last.said.filter(({ type }) => type === "NDATA").flatMap(({ payload }) => payload.metrics);
    expect(names.map(({ name }) => name)).toEqual(["plant/scan/1", "plant/image"]);
    const strict = await connected(node({ url: broker.url, messages: "reject" }));
    expect(await deliver(strict.uplink, [captured("plant/scan/1", "4711")])).toEqual(["reject"]);
  });

  it("gaps and clocks are metrics of the node; the status is what births and deaths say", async () => {
    const broker = await server();
    const { uplink } = await connected(node({ url: broker.url, aliases: false }));
    const own = (kind: string): Outgoing => ({
      topic: `Gateway/${kind}`,
      payload: Buffer.from(`{"type":"${kind}"}`),
      qos: 1,
      retain: kind === "status",
      properties: [],
    });
    expect(await deliver(uplink, [own("status"), own("gap"), own("clock")])).toEqual(["ack", "ack", "ack"]);
    const data = broker.last.said.filter(({ type }) => type === "NDATA");
    expect(data.flatMap(({ payload }) => payload.metrics.map(({ name }) => name))).toEqual([
      "Gateway/gap",
      "Gateway/clock",
    ]);
  });

  it("a device that is only in the backlog is born for its past alone", async () => {
    const broker = await server();
    const { uplink } = await connected(node({ url: broker.url }));
    await deliver(uplink, [scan("lathe", [["speed", 1]], {}, true)]);
    await said(broker, [...births, "DBIRTH lathe", "DDATA lathe", "DDEATH lathe"]);
  });

  it("data wait a while behind a birth, and are not taken for delivered meanwhile", async () => {
    const broker = await server();
    const { uplink } = await connected(node({ url: broker.url, afterBirth: "60s" }));
    const kinds = deliver(uplink, [scan("press", [["count", 1]])]);
    broker.command("spBv1.0/plant/NCMD/gw", [
      { name: "Node Control/Rebirth", datatype: DataType.Boolean, value: true },
    ]);
    await said(broker, births);
    await uplink.close();
    expect(await kinds).toEqual(["retry"]);
    await until(() => expect(broker.last.closed).toBe(true));
    expect(broker.last.types).toEqual([...births, "NDEATH"]);
    const again = await connected(node({ url: broker.url, afterBirth: "20ms" }));
    expect(await deliver(again.uplink, [scan("press", [["pressure", 1]])])).toEqual(["ack"]);
    expect(broker.last.types).toEqual([...births, "DBIRTH press", "DDATA press"]);
  });

  it("what the server does not confirm stays owed", async () => {
    const broker = await server();
    const { uplink, lost } = await connected(node({ url: broker.url, ackTimeout: "100ms" }));
    broker.answers = false;
    const kinds = await deliver(uplink, [scan("press", [["count", 1]])]);
    expect(kinds).toEqual(["retry"]);
    await until(() => expect(lost).toHaveLength(1));
  });

  it("with `dataQos: 1` a PUBACK confirms, a refusal makes births anew, and Receive Maximum holds", async () => {
    const broker = await server();
    broker.properties = { receiveMaximum: 2 };
    const { uplink } = await connected(node({ url: broker.url, dataQos: 1 }));
    const batch = Array.from({ length: 20 }, (_, i) => scan("press", [["count", i]]));
    expect(await deliver(uplink, batch)).toEqual(batch.map(() => "ack"));
    expect(broker.last.said.filter(({ type }) => type === "DDATA").map(({ qos }) => qos)).toEqual(batch.map(() => 1));
    expect(broker.last.said.filter(({ type }) => type.endsWith("BIRTH")).every(({ qos }) => qos === 0)).toBe(true);
    broker.puback = 0x97;
    expect(await deliver(uplink, [scan("press", [["count", 99]])])).toEqual(["retry"]);
    await until(() => expect(broker.last.types.slice(-3)).toEqual(births));
  });
});

describe("commands", () => {
  async function commanded(topic: string, over: { timestamp?: number; retain?: boolean } = {}) {
    const broker = await server();
    const plant = testPlant();
    const { log, lines } = recordingLogger();
    const { uplink } = await connected(node({ url: broker.url, commandExpiry: "5s" }, { plant, log }));
    const metrics = [
      { name: "count", datatype: DataType.UInt32, value: 9 },
      { name: "temperature", datatype: DataType.Float, isNull: true },
      { name: "nothing", datatype: DataType.Int32, value: 1 },
    ];
    for (let i = 0; i < 2; i++) broker.command(topic, metrics, over.timestamp, over.retain);
    await deliver(uplink, [scan("press", [["count", 1]])]);
    await deliver(uplink, [scan("press", [["count", 2]])]);
    return { plant, lines };
  }

  it("the same one has the same id however often it comes; what cannot be written is named, so that nothing is", async () => {
    const { plant } = await commanded("spBv1.0/plant/DCMD/gw/press", { timestamp: NOW });
    await until(() => expect(plant.commands).toHaveLength(2));
    const [one, two] = plant.commands;
    expect(one?.body["id"]).toBe(two?.body["id"]);
    expect(one?.body).toMatchObject({
      expires: NOW + 5000,
      writes: [
        { tag: "count", value: 9 },
        { tag: "temperature", value: null },
        { tag: "nothing", value: 0 },
      ],
    });
  });

  it("without a timestamp each is a command of its own", async () => {
    const { plant } = await commanded("spBv1.0/plant/DCMD/gw/press");
    await until(() => expect(plant.commands).toHaveLength(2));
    expect(plant.commands[0]?.body["id"]).not.toBe(plant.commands[1]?.body["id"]);
  });

  it.each([
    ["retained", "spBv1.0/plant/DCMD/gw/press", true, "a retained command is never carried out"],
    ["for the node", "spBv1.0/plant/NCMD/gw", false, "a metric of the node cannot be written"],
    ["for a device that is not there", "spBv1.0/plant/DCMD/gw/lathe", false, "a command for the unknown device lathe"],
  ])("one that is %s is not carried out, and told", async (_, topic, retain, reason) => {
    const { plant, lines } = await commanded(topic, { timestamp: NOW, retain });
    expect(lines.filter(({ level }) => level === "warn").map(({ fields }) => fields["reason"])).toContain(reason);
    expect(plant.commands).toEqual([]);
  });
});

describe("options", () => {
  const fault = (options: Record<string, unknown>) =>
    sparkplugModule.schema.safeParse({ url: "mqtt://127.0.0.1", group: "plant", ...options }).error?.issues[0]?.message;

  it.each([
    [
      "[tck-id-topic-structure-namespace-valid-group-id] [tck-id-intro-group-id-chars]",
      { group: "a+b" },
      /must not contain "\+"/,
    ],
    [
      "[tck-id-topic-structure-namespace-valid-edge-node-id] [tck-id-intro-edge-node-id-chars]",
      { node: "a/b" },
      /must not contain "\/"/,
    ],
    ["an empty host", { primaryHost: "" }, /must not be empty/],
    ["QoS 2", { dataQos: 2 }, /0 as the standard demands, or 1/],
    ["a key that there is not", { topic2: "x" }, /[Uu]nrecognized key/],
  ])("%s is refused", (_, options, message) => expect(fault(options)).toMatch(message));

  it("[tck-id-topic-structure-namespace-valid-device-id] [tck-id-intro-device-id-chars] a device's name is never changed on its way into a topic, but refused", async () => {
    const broker = await server();
    await expect(
      connected(node({ url: broker.url }, { plant: testPlant([{ name: "a/b", tags: OVEN }]) })),
    ).rejects.toThrow('must not contain "/"');
  });

  it("an encoder has no place here", () => {
    const parsed = sparkplugModule.schema.parse({ url: "mqtt://127.0.0.1", group: "plant", tls: {} });
    expect(sparkplugModule.check(parsed, { encoder: "flat", maxRate: {} })).toMatchObject([
      { path: ["tls"] },
      { path: ["encoder"] },
    ]);
  });
});
