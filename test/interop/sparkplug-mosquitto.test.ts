import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parser } from "mqtt-packet";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import type { Clock } from "../../gateway/core/clock.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { recordEncoder } from "../../gateway/northbound/encoders/record.ts";
import { Forwarder } from "../../gateway/northbound/forwarder.ts";
import { DataType } from "../../gateway/northbound/sparkplug/datatype.ts";
import { decodePayload, encodePayload, type Metric } from "../../gateway/northbound/sparkplug/payload.ts";
import { formedTopics } from "../../gateway/northbound/topic-form.ts";
import { topicMapper } from "../../gateway/northbound/topics.ts";
import { ListQueue } from "../fakes/list-queue.ts";
import { edgeNode } from "../northbound/sparkplug/plant.ts";
import { CountingPlc } from "../support/counting-plc.ts";
import { mosquitto, type Process, scratch, startGateway, until } from "../support/processes.ts";
import { Random, seedOf } from "../support/random.ts";
import { Relay } from "../support/relay.ts";
import { judge, numberOf, type Read, SparkplugHost, textOf } from "./peers/sparkplug-host.ts";
import { startTahu, startTahuHost } from "./peers/tahu.ts";

/**
 * The edge node over Debian's mosquitto, everything that is heard decoded by Eclipse Tahu: the whole gateway from birth to
 * death, and reconnects with restarts among them. MILLRACE_RECONNECTS sets how many (default 60; the long run is 600).
 */
const RECONNECTS = Number(process.env["MILLRACE_RECONNECTS"] ?? 60);
const random = new Random(seedOf(process.env["MILLRACE_SEED"]));
const MQTT = "queue_qos0_messages true\nmax_queued_bytes 0";

const tahu = await startTahu();
afterAll(() => tahu?.stop());
const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

async function scene(name: string) {
  if (tahu === undefined) throw new Error("no Tahu");
  const home = scratch(name);
  cleanUp.push(home.remove);
  const broker = await mosquitto(join(home.path, "mosquitto"), MQTT);
  cleanUp.push(() => broker.stop());
  const host = new SparkplugHost(tahu);
  await host.start(broker.port);
  cleanUp.push(() => host.stop());
  return { home: home.path, broker, host };
}

const config = (dataDir: string, plc: number, upstream: number) => `gateway: { id: gw, dataDir: ${dataDir} }
queue: { minFree: 16MiB }
http: { port: 0 }
broker: { listeners: [ { port: 0 } ] }
links:
  - name: line
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1, port: ${plc} }
    devices:
      - name: press
        unit: 1
        tags:
          - { name: order, address: "holding:0", type: uint32, every: 100ms, writable: { min: 0, max: 100000 } }
          - { name: count, address: "holding:10", type: uint16, every: 100ms }
          - { name: temperature, address: "holding:20", type: int16, scale: 0.1, every: 100ms }
uplinks:
  - { name: scada, type: sparkplug, url: "mqtt://127.0.0.1:${upstream}", group: plant, primaryHost: scada }
`;

describe.skipIf(tahu === undefined)("over mosquitto", () => {
  it("the whole gateway, from birth over rebirth, command, outage and kill to death", {
    timeout: 180_000,
  }, async () => {
    const { home, broker, host } = await scene("sparkplug-gateway");
    const plc = new CountingPlc();
    const line = await new Relay(await plc.listen()).open();
    cleanUp.push(
      () => plc.stop(),
      () => line.close(),
    );
    let count = 0;
    const ticking = setInterval(() => {
      plc.registers[10] = ++count % 65_536;
      plc.registers[20] = 200 + (count % 50);
    }, 50);
    cleanUp.push(() => clearInterval(ticking));
    const file = join(home, "millrace.yaml");
    writeFileSync(file, config(join(home, "data"), line.port, broker.port));
    const rows: [string, string][] = [];
    let gateway: Process = await startGateway(file);
    cleanUp.push(() => gateway.stop("SIGKILL"));
    const find = (from: number, wanted: (one: Read) => boolean) => async () =>
      (await host.read()).slice(from).some(wanted);
    const hear = (what: string, wanted: (one: Read) => boolean, from = 0) => until(what, find(from, wanted), 20_000);
    const is = (type: string, device?: string) => (one: Read) => one.type === type && one.device === device;
    const state = (online: boolean) =>
      host.publish("spBv1.0/STATE/scada", JSON.stringify({ online, timestamp: Date.now() }), true);

    await pause(500);
    expect((await host.read()).filter(({ type }) => type !== "scada")).toEqual([]);
    rows.push(["before STATE says online", "nothing sent"]);
    await state(true);
    await hear("data", is("DDATA", "press"));
    const first = await host.read();
    const nbirth = first.find(is("NBIRTH"));
    const dbirth = first.find(is("DBIRTH", "press"));
    expect(nbirth).toMatchObject({ seq: 0, bdSeq: 0 });
    expect(nbirth?.text).toMatch(/Node Control\/Rebirth - Boolean \d+ false/);
    expect(dbirth?.metrics.map(({ name, type }) => [name, type])).toEqual(
      expect.arrayContaining([
        ["order", "UInt32"],
        ["count", "UInt16"],
        ["temperature", "Double"],
      ]),
    );
    rows.push(["births", `NBIRTH seq 0, bdSeq 0; DBIRTH with ${dbirth?.metrics.length} metrics`]);

    const send = async (topic: string, metrics: readonly Metric[], ageMs = 0) => {
      const { again } = (await tahu?.read(encodePayload({ timestamp: Date.now() - ageMs, metrics }))) ?? { again: "" };
      await host.publish(topic, again);
    };
    let from = host.heard.length;
    await send("spBv1.0/plant/NCMD/gw", [{ name: "Node Control/Rebirth", datatype: DataType.Boolean, value: true }]);
    await hear("a rebirth", is("DBIRTH", "press"), from);
    expect((await host.read()).slice(from).find(is("NBIRTH"))).toMatchObject({ seq: 0, bdSeq: 0 });
    rows.push(["rebirth by NCMD (Tahu's bytes)", "NBIRTH seq 0, bdSeq 0, DBIRTH"]);

    const results = async () =>
      (await host.read())
        .flatMap(({ metrics }) => metrics)
        .filter(({ name }) => name === "cmd/press/result")
        .map(textOf);
    const order = dbirth?.metrics.find(({ name }) => name === "order")?.alias;
    const DCMD = "spBv1.0/plant/DCMD/gw/press";
    await host.publish(
      DCMD,
      encodePayload({
        timestamp: Date.now(),
        metrics: [{ alias: order ?? -1, valueType: DataType.UInt32, value: 4711 }],
      }),
    );
    await until("the write", () => plc.written.get(4711) === 1, 10_000);
    await until("its result", async () => (await results()).some((text) => text.includes('"ok":true')), 10_000);
    await hear(
      "the new value",
      (one) => one.metrics.some((metric) => metric.name === "order" && metric.value === "4711"),
      from,
    );
    await send(DCMD, [{ name: "order", datatype: DataType.UInt32, value: 4712 }], 3_600_000);
    await send(DCMD, [{ name: "count", datatype: DataType.UInt16, value: 1 }]);
    await until(
      "refusals",
      async () => (await results()).filter((text) => text.includes('"ok":false')).length >= 2,
      10_000,
    );
    expect(
      [...new Set(await results())].map((text) => /expired|not writable|"ok":true/.exec(text)?.[0]).toSorted(),
    ).toEqual(['"ok":true', "expired", "not writable"]);
    expect([plc.written.get(4711), plc.written.get(4712), plc.written.get(1)]).toEqual([1, undefined, undefined]);
    rows.push(
      ["DCMD by alias", "written once, read back, result as metric"],
      ["DCMD expired, DCMD not writable", "refused, audited, not written"],
    );

    from = host.heard.length;
    await line.close();
    await hear("DDEATH", is("DDEATH", "press"), from);
    await line.open();
    await hear("DBIRTH", is("DBIRTH", "press"), from);
    rows.push(["the device goes and comes", "DDEATH, DBIRTH"]);

    from = host.heard.length;
    const goneAt = Date.now();
    await broker.stop();
    await pause(2000);
    await broker.start();
    const backAt = Date.now();
    await until(
      "the past",
      async () => (await host.read()).slice(from).some(({ metrics }) => metrics.some((one) => one.isHistorical)),
      30_000,
    );
    await hear(
      "live data again",
      (one) => one.type === "DDATA" && one.metrics.some(({ isHistorical }) => !isHistorical),
      from,
    );
    const timed = (one: Read) =>
      [...one.text.matchAll(/ (\d{13}) \S+(?= |$)[^|]*/g)].map(
        ([text, ms]) => [Number(ms), text.includes("historical")] as const,
      );
    const during = (await host.read())
      .slice(from)
      .filter(({ type }) => type === "DDATA")
      .flatMap(timed)
      .filter(([ms]) => ms > goneAt + 200 && ms < backAt - 200);
    expect(during.length).toBeGreaterThan(5);
    expect(during.every(([, marked]) => marked)).toBe(true);
    rows.push(["server away for 2 s", `${during.length} values of that time, all marked is_historical`]);

    for (const signal of ["SIGKILL", "SIGKILL", "SIGTERM"] as const) {
      from = host.heard.length;
      await gateway.stop(signal);
      await hear("NDEATH", is("NDEATH"), from);
      if (signal === "SIGTERM") break;
      gateway = await startGateway(file);
      await hear("data", is("DDATA", "press"), from);
    }
    const all = (await host.read()).filter(({ type }) => /^[ND](BIRTH|DATA|DEATH)$/.test(type));
    const { holes, bdSeqs, births, deaths, messages } = judge(all);
    expect(holes).toEqual([]);
    expect(bdSeqs).toEqual(bdSeqs.map((one) => one).toSorted((a, b) => a - b));
    expect(all.filter(is("NDEATH")).at(-1)?.bdSeq).toBe(bdSeqs.at(-1));
    rows.push(["two SIGKILLs, one SIGTERM", "NDEATH each time, with the bdSeq of its session"]);
    rows.push([
      "over all",
      `${messages} messages, ${births} NBIRTH, ${deaths} NDEATH, bdSeq ${bdSeqs.join(" ")}, holes in seq ${holes.length}`,
    ]);
    console.log(
      `sparkplug over mosquitto, decoded by Eclipse Tahu 1.0.21:\n${rows.map(([what, found]) => `  ${what.padEnd(34)} ${found}`).join("\n")}`,
    );
  });

  it("Tahu's own host application as the primary host", { timeout: 180_000 }, async () => {
    const { home, broker, host: observer } = await scene("sparkplug-tahu-host");
    const plc = new CountingPlc();
    const line = await new Relay(await plc.listen()).open();
    cleanUp.push(
      () => plc.stop(),
      () => line.close(),
    );
    const file = join(home, "millrace.yaml");
    writeFileSync(file, config(join(home, "data"), line.port, broker.port));
    const gateway = await startGateway(file);
    cleanUp.push(() => gateway.stop("SIGKILL"));
    const tahuHost = await startTahuHost(broker.port, "scada");
    cleanUp.push(() => tahuHost.stop("SIGKILL"));
    const rows: string[] = [];
    const says = async (what: string, pattern: RegExp, from = 0) => {
      await until(what, () => tahuHost.lines.slice(from).some((one) => pattern.test(one)), 20_000);
      rows.push(what);
    };
    await says("online: births complete", /^onDeviceBirthComplete plant\/gw\/press/);
    plc.registers[10] = 77;
    await says("data in order", /^onDataMetric plant\/gw\/press count 77$/);
    let from = tahuHost.lines.length;
    tahuHost.tell("write plant gw press order 4711");
    await until("the write", () => plc.written.get(4711) === 1, 10_000);
    await says("its DCMD written once, and the new value heard", /^onDataMetric plant\/gw\/press order 4711$/, from);
    from = tahuHost.lines.length;
    tahuHost.tell("rebirth plant gw");
    await says("its rebirth request followed", /^onDeviceBirthComplete plant\/gw\/press/, from);
    from = tahuHost.lines.length;
    await line.close();
    await says("device death: metrics stale", /^onStale plant\/gw\/press count/, from);
    await line.open();
    await says("device birth", /^onDeviceBirthComplete plant\/gw\/press/, from);
    const isOurs = ({ type }: Read) => type === "NCMD";
    expect((await observer.read()).filter(isOurs)).toHaveLength(1);
    rows.push("rebirths that it asked for by itself: 0");
    from = observer.heard.length;
    tahuHost.tell("offline");
    await until(
      "NDEATH",
      async () => (await observer.read()).slice(from).some(({ type }) => type === "NDEATH"),
      10_000,
    );
    rows.push("offline: NDEATH, and nothing until it is back");
    const back = await startTahuHost(broker.port, "scada");
    cleanUp.push(() => back.stop("SIGKILL"));
    await until(
      "births",
      () => back.lines.some((one) => one.startsWith("onDeviceBirthComplete plant/gw/press")),
      60_000,
    );
    rows.push("online again: births complete");
    const { holes } = judge(await observer.read());
    expect(holes).toEqual([]);
    console.log(`sparkplug with Eclipse Tahu's host application 1.0.21:\n${rows.map((row) => `  ${row}`).join("\n")}`);
  });

  it(`${RECONNECTS} reconnects: bdSeq one more for each CONNECT, seq without a hole, no record lost (seed ${random.seed})`, {
    timeout: 60_000 + RECONNECTS * 1000,
  }, async () => {
    const { home, broker, host } = await scene("sparkplug-reconnects");
    const connects: number[] = [];
    const relay = await new Relay(broker.port, (chunk, connection) => {
      if (connects.length >= connection) return;
      const read = parser();
      read.on("error", () => {});
      read.on("packet", (packet) => {
        if (packet.cmd === "connect")
          connects[connection - 1] = Number(decodePayload(Buffer.from(packet.will?.payload ?? "")).metrics[0]?.value);
      });
      read.parse(chunk);
    }).open();
    cleanUp.push(() => relay.close());
    const queue = new ListQueue();
    const clock: Clock = { bootId: "boot-1", now: () => ({ wallMs: Date.now(), monoMs: 0, clock: "synced" }) };
    const topics = formedTopics(topicMapper("{topic}", "gw"), { record: "{topic}", control: "Gateway/{kind}" }, "");
    const start = () => {
      const uplink = edgeNode({ url: `mqtt://127.0.0.1:${relay.port}` }, { dataDir: home, clock });
      const forwarder = new Forwarder({
        ...{ name: "cloud", queue, gatewayId: "gw", uplink, encoder: recordEncoder, topics, clock },
        ...{ log: silentLogger, metrics: noMetrics },
        options: { backoff: { baseMs: 2, capMs: 20, stableMs: 30_000 } },
      });
      forwarder.start();
      return forwarder;
    };
    let forwarder = start();
    cleanUp.push(() => forwarder.stop());
    let made = 0;
    const take = (records: number) => {
      const source = {
        link: "plc",
        device: "press",
        group: "1000ms",
        topic: "plant/press",
        tags: [{ name: "count", type: "uint32" }],
      };
      queue.addContents(
        "telemetry",
        Array.from({ length: records }, () => ({
          kind: "samples" as const,
          source,
          samples: [{ tag: "count", quality: "good" as const, value: ++made, offsetMs: 0 }],
        })),
      );
    };
    let restarts = 0;
    for (let turn = 0; turn < RECONNECTS; turn++) {
      await until("a connection", () => forwarder.status().state === "connected", 10_000);
      const before = connects.length;
      take(1 + random.whole(0, turn % 50 === 7 ? 600 : 20));
      await pause(random.whole(0, 30));
      if (turn % 10 === 9) {
        restarts++;
        await forwarder.stop();
        forwarder = start();
      } else relay.cut();
      await until("another connection", () => connects.length > before, 10_000);
    }
    await until("everything delivered", () => queue.owed("telemetry") === 0, 30_000);
    await forwarder.stop();
    await until("the last NDEATH", () => host.heard.at(-1)?.topic.includes("/NDEATH/") ?? false, 10_000);
    const all = await host.read();
    const { holes, births, deaths, messages } = judge(all);
    const steps = connects.slice(1).filter((one, index) => one !== ((connects[index] ?? -1) + 1) % 256);
    const counts = all.filter(({ type }) => type === "DDATA").flatMap(({ metrics }) => metrics.map(numberOf));
    const lost = made - new Set(counts).size;
    console.log(
      `sparkplug: ${connects.length} CONNECTs (${RECONNECTS} reconnects, ${restarts} of them restarts): bdSeq steps other than +1: ${steps.length}, ` +
        `${messages} messages decoded by Tahu (${births} NBIRTH, ${deaths} NDEATH), holes in seq: ${holes.length}, ` +
        `records ${made}, lost ${lost}, duplicates ${counts.length - new Set(counts).size}`,
    );
    expect(steps).toEqual([]);
    expect(holes).toEqual([]);
    expect(connects.length).toBeGreaterThan(RECONNECTS);
    expect(lost).toBe(0);
  });
});
