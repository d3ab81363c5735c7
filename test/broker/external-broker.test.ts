import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { ExternalBroker } from "../../gateway/broker/external-broker.ts";
import { leastFilters } from "../../gateway/broker/filters.ts";
import { QueueFullError, RejectedError, StorageError } from "../../gateway/core/errors.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { captureOptions } from "../../gateway/core/options/broker.ts";
import { externalBroker } from "../../gateway/core/options/external-broker.ts";
import { Secret } from "../../gateway/core/secret.ts";
import { LocalSession } from "../../gateway/northbound/mqtt/local/session.ts";
import { PlantBroker } from "./plant-broker.ts";
import { cleanUp, cleanUpAll, clock, FakeQueue, type LogLine, recordingLogger, waitFor } from "./support.ts";

afterEach(cleanUpAll);

interface Wants {
  readonly options?: object;
  readonly capture?: unknown;
  readonly folder?: string;
  readonly server?: PlantBroker;
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "millrace-external-"));
  cleanUp(async () => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function rig({ options = {}, capture = [{ topics: ["plant/#"] }], folder: home = folder(), server }: Wants = {}) {
  const plant = server ?? (await new PlantBroker().listen());
  if (!server) cleanUp(() => plant.stop());
  const queue = new FakeQueue();
  const log: LogLine[] = [];
  const taken: object[] = [];
  const commands = {
    fail: undefined as Error | undefined,
    matches: (topic: string) => topic === "cmd/press/write",
    take({ payload: _, ...message }: { topic: string; payload: Uint8Array; retain: boolean }): Promise<void> {
      if (commands.fail) return Promise.reject(commands.fail);
      taken.push(message);
      return Promise.resolve();
    },
  };
  const parts = { clock, log: recordingLogger(log), metrics: noMetrics };
  const parsed = externalBroker.parse({ url: plant.url, ...options });
  const broker = new ExternalBroker({
    ...parts,
    urls: [parsed.url, ...parsed.urls],
    clientId: "millrace-gw",
    session: (handlers) =>
      new LocalSession({
        ...parts,
        options: parsed,
        clientId: "millrace-gw",
        handlers,
        secret: () => new Secret("secret", "test"),
        path: (relative) => relative,
      }),
    capture: captureOptions.parse(capture),
    queue,
    commands,
    commandFilters: ["cmd/press/write"],
    ownTopics: new Set(["gw/status", "plant/press", "cmd/press/result"]),
    gatewayId: "gw",
    notePath: join(home, "state", "external-broker.json"),
  });
  const status = () => broker.status();
  const ready = async (): Promise<void> => {
    await broker.start();
    await waitFor(
      () => !JSON.stringify(status()["subscriptions"] ?? "pending").includes("pending"),
      "the subscriptions are answered",
    );
  };
  cleanUp(() => broker.stop());
  return { plant, queue, log, taken, commands, broker, status, ready, home };
}

const refusedWrite = () => new QueueFullError("full");

describe("the session", () => {
  it("asks for one that is kept, with the will, and for its topics at the publisher's QoS", async () => {
    const { plant, ready, broker } = await rig({ options: { username: "gw", password: { env: "X" } } });
    await ready();
    const [connect] = plant.connects;
    expect(connect).toMatchObject({ clientId: "millrace-gw", clean: false, protocolVersion: 5, username: "gw" });
    expect(connect?.properties).toMatchObject({ sessionExpiryInterval: 604_800, receiveMaximum: 100 });
    expect(connect?.will).toMatchObject({ topic: "gw/status", retain: true, qos: 1 });
    expect(plant.filters).toEqual(["plant/#", "cmd/press/write"]);
    expect(plant.subscriptions[0]).toMatchObject({ qos: 2, nl: true, rap: true, rh: 2 });
    await waitFor(() => plant.of("publish").length > 0, "the birth");
    await broker.stop();
    const told = plant.of("publish").map((packet) => JSON.parse(packet.payload.toString()).state);
    expect(told).toEqual(["online", "offline"]);
    expect(plant.of("disconnect")).toHaveLength(1);
    expect(broker.status()).toMatchObject({ state: "stopped" });
  });

  it("speaks 3.1.1 where the server does", async () => {
    const { plant, ready, status } = await rig();
    plant.only = 4;
    await ready();
    expect(plant.connects.at(-1)).toMatchObject({ protocolVersion: 4, clean: false, clientId: "millrace-gw" });
    expect(status()).toMatchObject({ state: "connected", version: 4 });
  });

  it("ends subscriptions of an earlier configuration, and knows when the broker lost the session", async () => {
    const home = folder();
    const plant = await new PlantBroker().listen();
    cleanUp(() => plant.stop());
    const first = await rig({ capture: [{ topics: ["plant/#", "old/#"] }], folder: home, server: plant });
    await first.ready();
    await first.broker.stop();
    plant.present = true;
    const second = await rig({ folder: home, server: plant });
    await second.ready();
    expect(plant.of("unsubscribe").flatMap((packet) => packet.unsubscriptions)).toEqual(["old/#"]);
    expect(second.status()).toMatchObject({ sessionsLost: 0 });
    await waitFor(() => !readFileSync(join(home, "state/external-broker.json"), "utf8").includes("old"), "the note");
    plant.present = false;
    plant.drop();
    await waitFor(() => second.status()["sessionsLost"] === 1, "the loss is told");
    expect(second.log.filter(({ level }) => level === "error")).toHaveLength(1);
  });

  it("starts with a note that is damaged", async () => {
    const home = folder();
    const { ready, broker } = await rig({ folder: home });
    await ready();
    await broker.stop();
    writeFileSync(join(home, "state/external-broker.json"), "{ damaged");
    const again = await rig({ folder: home });
    await again.ready();
    expect(again.status()).toMatchObject({ state: "connected", sessionsLost: 0 });
  });

  it("tells of refused subscriptions with their topic, and captures the others", async () => {
    const { plant, ready, status, log, queue } = await rig({ capture: [{ topics: ["plant/#", "secret/#"] }] });
    plant.grant = (filter) => (filter === "secret/#" ? 0x87 : 1);
    await ready();
    expect(status()).toMatchObject({
      alarm: "the local broker refuses the subscription secret/#: 0x87 not authorized",
      subscriptions: [
        { filter: "plant/#", state: "subscribed", qos: 1 },
        { filter: "secret/#", state: "refused" },
        { filter: "cmd/press/write", state: "subscribed" },
      ],
    });
    const told = log.filter(({ level }) => level === "error");
    expect(told).toMatchObject([{ fields: { filter: "secret/#", reason: "0x87 not authorized" } }]);
    plant.publish("plant/a", "x");
    await waitFor(() => plant.ids("puback").includes(1), "the PUBACK");
    expect(queue.texts).toEqual(["x"]);
  });

  it("goes to the next server, and waits long for what only a person can cure", async () => {
    const other = await new PlantBroker().listen();
    cleanUp(() => other.stop());
    const { plant, ready, status } = await rig({ options: { urls: [other.url] } });
    plant.connack = 0x88;
    await ready();
    expect(status()).toMatchObject({ state: "connected", server: other.url });
    const alone = await rig();
    alone.plant.connack = 0x86;
    await alone.broker.start();
    await waitFor(() => alone.status()["state"] === "waiting", "waits");
    expect(alone.status()["alarm"]).toContain("bad user name or password");
    await alone.broker.stop();
  });
});

describe("capture", () => {
  it("acknowledges when the record is on disk, in the order of arrival", async () => {
    const { plant, ready, queue, status } = await rig();
    await ready();
    queue.auto = false;
    plant.publish("plant/a", "one", { messageId: 7 });
    plant.publish("plant/a", "two", { messageId: 8, qos: 2 });
    await waitFor(() => queue.calls.length === 1, "the append");
    expect(plant.ids("puback")).toEqual([]);
    expect(status()).toMatchObject({ pending: 2 });
    queue.auto = true;
    queue.calls[0]?.resolve();
    await waitFor(() => plant.ids("pubcomp").length === 1, "the end of QoS 2");
    expect(plant.packets.filter(({ cmd }) => cmd.startsWith("pub") && cmd !== "publish").map(({ cmd }) => cmd)).toEqual(
      ["puback", "pubrec", "pubcomp"],
    );
    expect(queue.texts).toEqual(["one", "two"]);
    expect(queue.stored.every(({ record }) => record.durable)).toBe(true);
    expect(status()).toMatchObject({ captured: 2, pending: 0 });
  });

  it("keeps content type, retain and QoS, and takes QoS 0 as it comes", async () => {
    const { plant, ready, queue } = await rig();
    await ready();
    plant.publish("plant/a", "one", { retain: true, properties: { contentType: "text/plain" } });
    plant.publish("plant/b", "two", { qos: 0 });
    await waitFor(() => queue.stored.length === 2, "both");
    const [one, two] = queue.stored.map(({ record }) => record);
    expect(one?.content).toMatchObject({ topic: "plant/a", qos: 1, retain: true, contentType: "text/plain" });
    expect(two).toMatchObject({ durable: false, content: { qos: 0 } });
  });

  it("stores once what is sent again while it is being stored, and after its PUBREC", async () => {
    const { plant, ready, queue, broker } = await rig();
    await ready();
    queue.auto = false;
    plant.present = true;
    plant.publish("plant/a", "one", { messageId: 7 });
    plant.publish("plant/a", "two", { messageId: 8, qos: 2 });
    await waitFor(() => queue.calls.length === 1, "the append");
    plant.drop();
    await waitFor(() => plant.connects.length === 2, "connects again");
    plant.publish("plant/a", "one", { messageId: 7, dup: true });
    plant.publish("plant/a", "two", { messageId: 8, dup: true, qos: 2 });
    plant.publish("plant/a", "three", { messageId: 9, qos: 0 });
    await waitFor(() => plant.ids("subscribe").length === 4, "it came");
    queue.auto = true;
    queue.calls[0]?.resolve();
    await waitFor(() => plant.ids("pubcomp").length === 1, "the answers");
    await waitFor(() => queue.texts.includes("three"), "what followed");
    expect(queue.texts).toEqual(["one", "two", "three"]);
    expect(plant.ids("puback")).toEqual([7]);
    // Another message may say the same.
    plant.publish("plant/a", "one", { messageId: 7 });
    await waitFor(() => queue.texts.length === 4, "the same again");
    await broker.stop();
  });

  it("holds what the queue refuses for as long as it takes, and reads no more than it may hold", async () => {
    const { plant, ready, queue, status } = await rig();
    plant.only = 4;
    await ready();
    queue.refusal = refusedWrite();
    for (let id = 1; id <= 1500; id++) plant.publish("plant/a", String(id), { messageId: id });
    await waitFor(() => status()["holding"] === true && status()["pending"] === 100, "as much is held as may be");
    expect(status()).toMatchObject({ pending: 100, state: "connected" });
    expect(plant.ids("puback")).toEqual([]);
    queue.refusal = undefined;
    await waitFor(() => plant.ids("puback").length === 1500, "everything is answered");
    expect(queue.texts).toEqual(Array.from({ length: 1500 }, (_, index) => String(index + 1)));
    expect(status()).toMatchObject({ captured: 1500, refused: 0, pending: 0 });
  });

  it("passes over what can never be stored, and tells it", async () => {
    const { plant, ready, queue, status } = await rig({ options: { maxPacket: "1KiB" } });
    await ready();
    plant.publish("plant/long", "x".repeat(70_000), { messageId: 3 });
    plant.publish("plant/a", "after", { messageId: 4 });
    await waitFor(() => plant.ids("puback").length === 2, "both are answered");
    expect(queue.texts).toEqual(["after"]);
    expect(queue.told).toEqual([{ stream: "events", topic: "plant/long" }]);
    queue.refusal = new RejectedError("too large");
    plant.publish("plant/b", "no", { messageId: 5 });
    await waitFor(() => plant.ids("puback").length === 3, "it is answered");
    expect(queue.told.at(-1)).toEqual({ stream: "events", topic: "plant/b" });
    expect(status()).toMatchObject({ state: "connected" });
  });

  it("does not take its own, nor with 3.1.1 what the broker had kept", async () => {
    const { plant, ready, queue, status } = await rig();
    plant.only = 4;
    await ready();
    plant.publish("plant/press", "own", { messageId: 1 });
    plant.publish("plant/a", "kept", { messageId: 2, retain: true });
    plant.publish("elsewhere", "stray", { messageId: 3 });
    plant.publish("plant/a", "new", { messageId: 4 });
    await waitFor(() => plant.ids("puback").length === 4, "all are answered");
    expect(queue.texts).toEqual(["new"]);
    expect(status()).toMatchObject({ ignored: 3, captured: 1 });
  });
});

describe("commands and live values", () => {
  it("gives commands to their part, and answers when they are taken", async () => {
    const { plant, ready, taken, commands, queue } = await rig({ capture: [{ topics: ["#"] }] });
    await ready();
    expect(plant.filters).toEqual(["#"]);
    commands.fail = new StorageError("the disk");
    const properties = { responseTopic: "answers/1", correlationData: Buffer.from("q1") };
    plant.publish("cmd/press/write", "{}", { messageId: 5, properties });
    plant.publish("cmd/other/write", "not ours", { messageId: 6 });
    await waitFor(() => queue.texts.length === 1, "what is not ours is captured");
    expect(plant.ids("puback")).toEqual([]);
    commands.fail = undefined;
    await waitFor(() => plant.ids("puback").length === 2, "both are answered");
    const reply = { responseTopic: "answers/1", correlation: Buffer.from("q1") };
    expect(taken).toEqual([{ topic: "cmd/press/write", retain: false, from: "the local broker", ...reply }]);
    expect(plant.ids("puback")).toEqual([5, 6]);
  });

  it("publishes live values while connected, and drops them otherwise", async () => {
    const { plant, ready, broker } = await rig();
    broker.publishLive("plant/press", Buffer.from("nobody"));
    await ready();
    broker.publishLive("plant/press", Buffer.from("21"));
    await waitFor(() => plant.of("publish").some(({ topic }) => topic === "plant/press"), "the value");
    broker.publishLive("answers/1", Buffer.from("{}"), Buffer.from("q1").toString("base64"));
    await waitFor(() => plant.of("publish").some(({ topic }) => topic === "answers/1"), "the answer");
    const answer = plant.of("publish").find(({ topic }) => topic === "answers/1");
    expect(answer?.properties?.correlationData?.toString()).toBe("q1");
    const live = plant.of("publish").filter(({ topic }) => topic === "plant/press");
    expect(live.map(({ payload, qos }) => [payload.toString(), qos])).toEqual([["21", 0]]);
  });
});

it.each([
  [["plant/#", "plant/a", "plant/+/b", "plant"], ["plant/#"]],
  [
    ["+/a", "plant/a", "plant/+"],
    ["+/a", "plant/+"],
  ],
  [["a/+", "a/#", "a/+"], ["a/#"]],
  [
    ["a/+", "a/b/#"],
    ["a/+", "a/b/#"],
  ],
  [
    ["#", "$SYS/x"],
    ["#", "$SYS/x"],
  ],
])("of %j it subscribes to %j", (filters, least) => {
  expect(leastFilters(filters)).toEqual(least);
});
