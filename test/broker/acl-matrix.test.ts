import { generate, type Packet } from "mqtt-packet";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hashPassword } from "../../gateway/broker/password.ts";
import type { UserOptions } from "../../gateway/core/options/broker.ts";
import {
  cleanUpAll,
  connectPacket,
  publishPacket,
  RawClient,
  type Rig,
  roundTrip,
  startBroker,
  WAIT,
  waitFor,
} from "./support.ts";

/**
 * Who may do what: each row is one connection of one user that publishes, subscribes, receives, leaves a will or reads what is
 * retained. The rights are in USERS; the answers are those of the table, over the wire.
 */
const PASSWORD = "correct horse battery";
type Act = "publish" | "retain" | "will" | "subscribe" | "receive" | "retained";
type Row = readonly [user: string, act: Act, topic: string, allowed: boolean, clientId?: string];

const rights: Readonly<Record<string, Omit<UserOptions, "name" | "deny"> & { deny?: string[] }>> = {
  none: { publish: [], subscribe: [] },
  scanner: { publish: ["plant/scan/#"], subscribe: ["plant/orders/+"] },
  own: { publish: ["data/%u/#", "alive/%c"], subscribe: ["cmd/%u/+/write", "to/%c/#"] },
  reader: { publish: [], subscribe: ["plant/#"] },
  all: { publish: ["#"], subscribe: ["#"] },
  level: { publish: ["a/+/c", "exact"], subscribe: ["a/+/c", "+", "exact/#"] },
  but: { publish: ["#"], subscribe: ["#"], deny: ["secret/#", "x/c-20"] },
  part: { publish: ["x/dev-%c/y"], subscribe: ["x/dev-%c/y"] },
};

const ROWS: readonly Row[] = [
  // Nothing is granted by default.
  ["none", "publish", "plant/scan/1", false],
  ["none", "retain", "plant/scan/1", false],
  ["none", "will", "plant/scan/1", false],
  ["none", "subscribe", "plant/scan/1", false],
  ["none", "subscribe", "#", false],
  ["none", "subscribe", "+", false],
  ["none", "subscribe", "$SYS/#", false],
  ["none", "publish", "none", false],
  // A scanner.
  ["scanner", "publish", "plant/scan", true],
  ["scanner", "publish", "plant/scan/1", true],
  ["scanner", "publish", "plant/scan/1/2/3", true],
  ["scanner", "publish", "plant/scanner", false],
  ["scanner", "publish", "plant", false],
  ["scanner", "publish", "plant/orders/1", false],
  ["scanner", "publish", "Plant/scan/1", false],
  ["scanner", "publish", "/plant/scan/1", false],
  ["scanner", "retain", "plant/scan/1", true],
  ["scanner", "retain", "plant/orders/1", false],
  ["scanner", "will", "plant/scan/gone", true],
  ["scanner", "will", "plant/orders/1", false],
  ["scanner", "will", "other", false],
  ["scanner", "subscribe", "plant/orders/1", true],
  ["scanner", "subscribe", "plant/orders/+", true],
  ["scanner", "subscribe", "plant/orders/#", false],
  ["scanner", "subscribe", "plant/+/1", false],
  ["scanner", "subscribe", "plant/#", false],
  ["scanner", "subscribe", "#", false],
  ["scanner", "subscribe", "+/orders/1", false],
  ["scanner", "subscribe", "plant/orders", false],
  ["scanner", "subscribe", "plant/orders/1/2", false],
  ["scanner", "subscribe", "plant/scan/1", false],
  ["scanner", "receive", "plant/orders/1", true],
  ["scanner", "receive", "plant/scan/1", false],
  ["scanner", "retained", "plant/orders/kept", true],
  ["scanner", "retained", "plant/scan/kept", false],
  // Placeholders.
  ["own", "publish", "data/own/1", true],
  ["own", "publish", "data/own", true],
  ["own", "publish", "data/scanner/1", false],
  ["own", "publish", "data/%u/1", false],
  ["own", "publish", "data/+/1", false],
  ["own", "publish", "alive/c-1", true, "c-1"],
  ["own", "publish", "alive/c-2", false, "c-1"],
  ["own", "publish", "alive/x", false, "+"],
  ["own", "publish", "alive/x/y", false, "x/y"],
  ["own", "publish", "alive/#", false, "#"],
  ["own", "will", "alive/c-3", true, "c-3"],
  ["own", "will", "alive/c-4", false, "c-3"],
  ["own", "subscribe", "cmd/own/p/write", true],
  ["own", "subscribe", "cmd/own/+/write", true],
  ["own", "subscribe", "cmd/+/p/write", false],
  ["own", "subscribe", "cmd/other/p/write", false],
  ["own", "subscribe", "cmd/own/p/result", false],
  ["own", "subscribe", "to/c-5/#", true, "c-5"],
  ["own", "subscribe", "to/c-5", true, "c-5"],
  ["own", "subscribe", "to/c-6/#", false, "c-5"],
  ["own", "subscribe", "to/+/#", false, "+"],
  ["own", "subscribe", "to/#", false, "#"],
  ["own", "subscribe", "to/anybody/x", false, "+"],
  ["own", "receive", "to/c-7/x", true, "c-7"],
  ["own", "receive", "to/c-8/x", false, "c-7"],
  ["part", "publish", "x/dev-9/y", true, "9"],
  ["part", "publish", "x/dev-8/y", false, "9"],
  ["part", "publish", "x/dev-/y", false, "+"],
  ["part", "subscribe", "x/dev-9/y", true, "9"],
  ["part", "subscribe", "x/+/y", false, "9"],
  ["part", "retain", "x/dev-9/y", true, "9"],
  ["part", "retain", "x/dev-8/y", false, "9"],
  // Reads only.
  ["reader", "publish", "plant/scan/1", false],
  ["reader", "retain", "plant/scan/1", false],
  ["reader", "will", "plant/scan/1", false],
  ["reader", "subscribe", "plant/#", true],
  ["reader", "subscribe", "plant/+/+", true],
  ["reader", "subscribe", "plant", true],
  ["reader", "subscribe", "+/scan", false],
  ["reader", "receive", "plant/scan/1", true],
  ["reader", "receive", "plantation/1", false],
  ["reader", "retained", "plant/scan/kept", true],
  ["reader", "retained", "secret/kept", false],
  // Everything is still not what belongs to the broker.
  ["all", "publish", "any/thing", true],
  ["all", "publish", "$SYS/x", false],
  ["all", "publish", "$other/x", false],
  ["all", "publish", "$sparkplug/certificates/x", false],
  ["all", "retain", "$SYS/x", false],
  ["all", "will", "$SYS/x", false],
  ["all", "will", "any/will", true],
  ["all", "subscribe", "#", true],
  ["all", "subscribe", "+/+", true],
  ["all", "subscribe", "$SYS/#", false],
  ["all", "subscribe", "$share/g/plant/#", false],
  ["all", "receive", "any/thing", true],
  ["all", "retained", "secret/kept", true],
  // Everything but.
  ["but", "publish", "secret/1", false],
  ["but", "publish", "public/1", true],
  ["but", "publish", "x/c-20", false, "c-20"],
  ["but", "publish", "x/c-21", true, "c-20"],
  ["but", "will", "secret", false],
  ["but", "subscribe", "secret/+", false],
  ["but", "subscribe", "+/+", true],
  ["but", "receive", "secret/1", false],
  ["but", "retained", "secret/kept", false],
  // Single levels.
  ["level", "publish", "a/b/c", true],
  ["level", "publish", "a//c", true],
  ["level", "publish", "a/b/b/c", false],
  ["level", "publish", "a/b/c/d", false],
  ["level", "publish", "exact", true],
  ["level", "publish", "exact/", false],
  ["level", "will", "a/b/c", true],
  ["level", "will", "a/b", false],
  ["level", "subscribe", "a/+/c", true],
  ["level", "subscribe", "a/#", false],
  ["level", "subscribe", "+", true],
  ["level", "subscribe", "+/+", false],
  ["level", "subscribe", "exact/#", true],
  ["level", "receive", "a/b/c", true],
  ["level", "receive", "a/b/d", false],
];

let rig: Rig;
let boss: RawClient;
let hash: string;
const login = (user: string) => ({ username: user, password: Buffer.from(PASSWORD) });

beforeAll(async () => {
  hash = await hashPassword(PASSWORD);
  const users = Object.entries(rights).map(([name, lists]) => ({ name, password: hash, ...lists }));
  rig = await startBroker({ users, limits: { maxConnectionsPerAddress: 500 } }, [{ topics: ["captured/#"] }]);
  boss = new RawClient(rig.port);
  boss.send({ ...connectPacket({ clientId: "boss" }), ...login("all") } as Packet);
  await boss.until("connack");
  boss.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "#", qos: 1 }] });
  await boss.until("suback");
  for (const topic of ["plant/orders/kept", "plant/scan/kept", "secret/kept"]) {
    boss.send({ cmd: "publish", topic, payload: "kept", qos: 0, retain: true, dup: false });
  }
  await roundTrip(boss);
});
afterAll(async () => {
  await cleanUpAll();
});

let number = 0;
async function connect(user: string, clientId = `row-${++number}`, will?: string): Promise<RawClient> {
  const raw = new RawClient(rig.port);
  const wants = {
    clientId,
    ...(will !== undefined && { will: { topic: will, payload: Buffer.from("w"), qos: 1 as const, retain: false } }),
  };
  raw.sendBytes(generate({ ...connectPacket(wants), ...login(user) } as Packet));
  await raw.until("connack");
  return raw;
}
const returnCode = (raw: RawClient) => {
  const [connack] = raw.of("connack");
  return connack?.cmd === "connack" ? connack.returnCode : undefined;
};
const seen = (topic: string, payload: string) =>
  boss
    .of("publish")
    .some((packet) => packet.cmd === "publish" && packet.topic === topic && packet.payload.toString() === payload);
const granted = async (raw: RawClient, filter: string) => {
  raw.send({ cmd: "subscribe", messageId: 9, subscriptions: [{ topic: filter, qos: 1 }] });
  const [suback] = await raw.until("suback");
  return suback?.cmd === "suback" && suback.granted[0] !== 128;
};

const acts: Readonly<Record<Act, (user: string, topic: string, clientId?: string) => Promise<boolean>>> = {
  async publish(user, topic, clientId) {
    const raw = await connect(user, clientId);
    const mark = `mark-${++number}`;
    const bytes = generate(publishPacket("0".repeat(Buffer.byteLength(topic)), mark, 1, 7));
    bytes.write(topic, 4);
    raw.sendBytes(bytes);
    await waitFor(() => raw.closed || raw.of("puback").length > 0, "an answer");
    if (!raw.closed) await waitFor(() => seen(topic, mark), "delivery");
    await roundTrip(boss);
    const isSeen = seen(topic, mark);
    expect(isSeen).toBe(raw.of("puback").length > 0);
    await raw.end();
    return isSeen;
  },
  async retain(user, topic, clientId) {
    const raw = await connect(user, clientId);
    const payload = `kept-${++number}`;
    raw.send({ cmd: "publish", topic, payload, qos: 1, messageId: 7, retain: true, dup: false });
    await waitFor(() => raw.closed || raw.of("puback").length > 0, "an answer");
    await raw.end();
    const later = await connect("all");
    const isGranted = await granted(later, topic.startsWith("$") ? "#" : topic);
    await roundTrip(later);
    const isKept = later
      .of("publish")
      .some((packet) => packet.cmd === "publish" && packet.payload.toString() === payload);
    await later.end();
    return isGranted && isKept;
  },
  async will(user, topic, clientId) {
    const raw = await connect(user, clientId, topic);
    const code = returnCode(raw);
    const before = boss.of("publish").length;
    await raw.end();
    if (code === 0) await waitFor(() => boss.of("publish").length > before, "the will");
    else expect(code).toBe(5);
    await roundTrip(boss);
    return seen(topic, "w");
  },
  async subscribe(user, topic, clientId) {
    const raw = await connect(user, clientId);
    const isGranted = await granted(raw, topic);
    await raw.end();
    return isGranted;
  },
  async receive(user, topic, clientId) {
    const raw = await connect(user, clientId);
    await granted(raw, topic);
    boss.send({ cmd: "publish", topic, payload: "live", qos: 0, retain: false, dup: false });
    await roundTrip(boss);
    await roundTrip(raw);
    const got = raw.of("publish").length > 0;
    await raw.end();
    return got;
  },
  async retained(user, topic, clientId) {
    const raw = await connect(user, clientId);
    await granted(raw, topic);
    await roundTrip(raw);
    const got = raw.of("publish").length > 0;
    await raw.end();
    return got;
  },
};

it("has a hundred rows or more", () => {
  expect(ROWS.length).toBeGreaterThanOrEqual(100);
});

describe("over the wire", () => {
  const rows = ROWS.map(([user, act, topic, allowed, clientId]) => ({ user, act, topic, allowed, clientId }));
  it.each(rows)(
    "$user: $act $topic is $allowed (client id $clientId)",
    async ({ user, act, topic, allowed, clientId }) => {
      expect(await acts[act](user, topic, clientId)).toBe(allowed);
    },
  );
});

describe("rights that change while clients are connected", () => {
  const users = (subscribe: string[], publish: string[] = ["back/#"], password = hash) => [
    { name: "all", password: hash, publish: ["#"], subscribe: ["#"], deny: [] },
    { name: "worker", password, publish, subscribe, deny: [] },
  ];

  it("act at once on subscriptions there are, on publishing, and on what waited in a kept session", async () => {
    const { broker, port } = await startBroker({ users: users(["plant/#"]) });
    const connectAs = async (user: string, clientId: string, clean = true) => {
      const raw = new RawClient(port);
      raw.send({ ...connectPacket({ clientId, clean }), ...login(user) } as Packet);
      await raw.until("connack");
      return raw;
    };
    const worker = await connectAs("worker", "w", false);
    const all = await connectAs("all", "a");
    expect(await granted(worker, "plant/#")).toBe(true);
    all.send(publishPacket("plant/1", "1", 1, 1));
    await worker.until("publish");
    worker.send({ cmd: "puback", messageId: worker.ids("publish")[0] ?? 0 });
    broker.setUsers(users(["other/#"], []));
    all.send(publishPacket("plant/2", "2", 1, 2), publishPacket("plant/3", "3", 0));
    await all.until("puback", 2);
    await roundTrip(all);
    await roundTrip(worker);
    expect(worker.of("publish")).toHaveLength(1);
    worker.send(publishPacket("back/1", "x", 1, 4));
    await worker.untilClosed();

    broker.setUsers(users(["plant/#"]));
    const again = await connectAs("worker", "w", false);
    await roundTrip(again);
    expect(again.of("publish")).toEqual([]);
    await again.end();
    await waitFor(() => broker.status().clients === 1, "the worker left");
    all.send(publishPacket("plant/4", "4", 1, 5));
    await all.until("puback", 3);
    broker.setUsers(users(["other/#"]));
    const late = await connectAs("worker", "w", false);
    await roundTrip(late);
    expect(late.of("publish")).toEqual([]);
    expect(broker.status().kept.messages).toBe(0);
  });

  it(
    "disconnect whose user is gone, or has another password",
    async () => {
      const { broker, port } = await startBroker({ users: users(["plant/#"]) });
      const raw = new RawClient(port);
      raw.send({ ...connectPacket({ clientId: "w" }), ...login("worker") } as Packet);
      await raw.until("connack");
      broker.setUsers(users(["plant/#"], [], await hashPassword("another one")));
      await raw.untilClosed();
      expect(broker.status().clients).toBe(0);
    },
    WAIT.timeout,
  );
});
