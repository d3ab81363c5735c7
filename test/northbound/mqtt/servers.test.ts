import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { createWebSocketStream, WebSocketServer } from "ws";
import { ConfigError, NotConnectedError } from "../../../gateway/core/errors.ts";
import type { Uplink } from "../../../gateway/core/uplink.ts";
import { mqttModule } from "../../../gateway/northbound/mqtt/module.ts";
import { ServerList } from "../../../gateway/northbound/mqtt/servers.ts";
import { message, verdicts } from "../../contract/uplink.ts";
import { type Script, StrictBroker } from "../../support/strict-broker.ts";
import { until } from "../until.ts";
import { context, live, recordingLogger } from "./harness.ts";

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function server(script: Script = {}, port = 0): Promise<StrictBroker> {
  const broker = await new StrictBroker(script).listen(port);
  stops.push(() => broker.close());
  return broker;
}

/** Uplinks of one configuration, one for each connection. */
function uplinks(first: string, others: readonly string[]) {
  const options = mqttModule.schema.parse({ url: first, urls: others, failBack: "100ms" });
  const { log, lines } = recordingLogger();
  const make = (): Uplink => {
    const uplink = mqttModule.create(options, context({ log }));
    stops.push(() => uplink.close());
    return uplink;
  };
  return { make, lines };
}

async function deadUrl(): Promise<{ url: string; port: number }> {
  const broker = await new StrictBroker().listen();
  const { url, port } = broker;
  await broker.close();
  return { url, port };
}

describe("several servers", () => {
  it("takes the next when one cannot be reached or refuses, and says so", async () => {
    const refuses = await server({ connack: 0x88 });
    const takes = await server();
    const { make, lines } = uplinks((await deadUrl()).url, [refuses.url, takes.url]);
    await make().connect(() => {}, live());
    expect([refuses.sessions.length, takes.sessions.length]).toEqual([1, 1]);
    expect(lines.find(({ level }) => level === "warn")?.message).toMatch(/another server/);
  });

  it("goes back to the first once it can be reached", async () => {
    const first = await deadUrl();
    const second = await server();
    const { make } = uplinks(first.url, [second.url]);
    const lost: string[] = [];
    await make().connect((error) => lost.push(error.message), live());
    expect(second.sessions).toHaveLength(1);
    const back = await server({}, first.port);
    await until(() => expect(lost[0]).toMatch(/going back to/));
    await make().connect(() => {}, live());
    expect(back.session.connect).toBeDefined();
  });

  it("tries a server last that takes connections and ends them", async () => {
    const fickle = await server({ connected: (session) => session.socket.destroy() });
    const steady = await server();
    const { make } = uplinks(fickle.url, [steady.url]);
    let lost = false;
    await make().connect(() => {
      lost = true;
    }, live());
    await until(() => expect(lost).toBe(true));
    await make().connect(() => {}, live());
    expect([fickle.sessions.length, steady.sessions.length]).toEqual([1, 1]);
  });

  it("is a fault for a person only when all of them are", async () => {
    const denies = await server({ connack: 0x86 });
    const one = uplinks(denies.url, [denies.url]).make();
    await expect(one.connect(() => {}, live())).rejects.toBeInstanceOf(ConfigError);
    const other = uplinks(denies.url, [(await deadUrl()).url]).make();
    await expect(other.connect(() => {}, live())).rejects.toBeInstanceOf(NotConnectedError);
  });
});

it("over a WebSocket", async () => {
  const broker = await server({ puback: () => ({ ack: true, afterMs: 1 }) });
  const web = new WebSocketServer({ host: "127.0.0.1", port: 0, path: "/mqtt" });
  await new Promise((resolve) => web.once("listening", resolve));
  stops.push(() => new Promise((resolve) => web.close(() => resolve())));
  const protocols: string[] = [];
  web.on("connection", (client) => {
    protocols.push(client.protocol);
    const near = createWebSocketStream(client);
    const far = connect(broker.port, "127.0.0.1");
    near.on("error", () => far.destroy());
    far.on("error", () => near.destroy());
    near.pipe(far).pipe(near);
  });
  const address = web.address();
  if (typeof address === "string" || address === null) throw new Error("not listening");
  const uplink = uplinks(`ws://127.0.0.1:${address.port}/mqtt`, []).make();
  await uplink.connect(() => {}, live());
  const { take, kinds } = verdicts();
  const bodies = Array.from({ length: 500 }, (_, i) => message(`m${i}`.padEnd(i)));
  await uplink.send(bodies, take, live());
  await until(() => expect(kinds()).toEqual(bodies.map(() => "ack")));
  expect([protocols, broker.records.length, broker.violations]).toEqual([["mqtt"], 500, []]);
  await uplink.close();
  await until(() => expect(broker.session.disconnect?.reasonCode).toBe(0));
  const nowhere = uplinks(`ws://127.0.0.1:${address.port}/elsewhere`, []).make();
  await expect(nowhere.connect(() => {}, live())).rejects.toBeInstanceOf(NotConnectedError);
});

it("a server that was bad is forgiven after five minutes", () => {
  const list = new ServerList(["a", "b"]);
  list.lost("a", 10, 1000);
  expect([list.order(2000), list.order(400_000)]).toEqual([
    ["b", "a"],
    ["a", "b"],
  ]);
  expect(list.betterThan("b", 400_000)).toEqual(["a"]);
  list.lost("b", 60_000, 400_000);
  expect(list.order(400_000)).toEqual(["a", "b"]);
});
