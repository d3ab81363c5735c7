import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { Aedes } from "aedes";
import mqtt, { type MqttClient } from "mqtt";
import { afterEach, describe, expect, it } from "vitest";
import type { Clock } from "../../gateway/core/clock.ts";
import { ConfigError } from "../../gateway/core/errors.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { willMessage } from "../../gateway/northbound/control.ts";
import { valuesEncoder } from "../../gateway/northbound/encoders/values.ts";
import { Forwarder } from "../../gateway/northbound/forwarder.ts";
import { topicMapper } from "../../gateway/northbound/topics.ts";
import { ListQueue } from "../fakes/list-queue.ts";
import { live, mqttUplink } from "../northbound/mqtt/harness.ts";
import { freePort, needProgram, Process, portAnswers, scratch, until } from "../support/processes.ts";

/** The uplink against servers that we did not write: Debian's mosquitto, with and without TLS, and aedes for 3.1.1. */

const clock: Clock = { bootId: "boot-1", now: () => ({ wallMs: 1_732_300_000_000, monoMs: 1, clock: "synced" }) };
const topics = topicMapper("{topic}", "gw");
const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

async function mosquitto(port: number, home: string, more = ""): Promise<Process> {
  const file = join(home, "mosquitto.conf");
  writeFileSync(file, `listener ${port} 127.0.0.1\npersistence false\nuser root\n${more || "allow_anonymous true\n"}`);
  const server = new Process(needProgram("mosquitto", "mosquitto"), ["-c", file]);
  cleanUp.push(() => server.stop("SIGKILL"));
  await until("mosquitto answers", () => portAnswers(port), 10_000);
  return server;
}

function home(): string {
  const folder = scratch("uplink");
  cleanUp.push(folder.remove);
  return folder.path;
}

interface Received {
  readonly topic: string;
  readonly text: string;
  readonly id: string | undefined;
  readonly retain: boolean;
}

async function subscriber(port: number): Promise<{ got: Received[]; client: MqttClient }> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5, reconnectPeriod: 50 });
  cleanUp.push(() => client.endAsync(true));
  const got: Received[] = [];
  client.on("message", (topic, payload, packet) => {
    const id = packet.properties?.userProperties?.["id"];
    got.push({ topic, text: payload.toString(), id: typeof id === "string" ? id : undefined, retain: packet.retain });
  });
  await client.subscribeAsync("#", { qos: 1 });
  return { got, client };
}

function forwarderTo(port: number): { forwarder: Forwarder; queue: ListQueue } {
  const queue = new ListQueue();
  const forwarder = new Forwarder({
    name: "cloud",
    queue,
    gatewayId: "gw",
    uplink: () => mqttUplink({ url: `mqtt://127.0.0.1:${port}` }, { will: willMessage(topics, "gw", "cloud") }),
    encoder: valuesEncoder,
    topics,
    clock,
    log: silentLogger,
    metrics: noMetrics,
    options: { backoff: { baseMs: 20, capMs: 100, stableMs: 30_000 } },
  });
  cleanUp.push(() => forwarder.stop());
  return { forwarder, queue };
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => String(i + 1));

describe("mosquitto", () => {
  it("takes a backlog over MQTT 5, with ids, in order, and obeys nothing but its own Receive Maximum of 20", async () => {
    const port = await freePort();
    await mosquitto(port, home());
    const uplink = mqttUplink({ url: `mqtt://127.0.0.1:${port}` });
    expect(await uplink.connect(() => {}, live())).toMatchObject({ inFlight: 20, properties: true });
    await uplink.close();
    const { got } = await subscriber(port);
    const { forwarder, queue } = forwarderTo(port);
    queue.add("telemetry", numbers(900));
    forwarder.start();
    await until("all settled", () => queue.owed("telemetry") === 0, 10_000);
    await forwarder.stop();
    await until("status offline", () => got.some((one) => one.text.includes('"offline"')), 5000);
    const records = got.filter((one) => one.topic === "plant/a");
    expect(records.map((one) => one.text)).toEqual(numbers(900));
    expect(new Set(records.map((one) => one.id)).size).toBe(900);
  });

  it("is killed and started again while a backlog drains: the backlog drains to its end", async () => {
    const port = await freePort();
    const folder = home();
    let server = await mosquitto(port, folder, "allow_anonymous true\nmax_queued_messages 0\n");
    const { got, client } = await subscriber(port);
    const { forwarder, queue } = forwarderTo(port);
    queue.add("telemetry", numbers(20_000));
    forwarder.start();
    for (let kill = 0; kill < 3; kill++) {
      const settled = queue.settled("telemetry").length;
      await until("some progress", () => queue.settled("telemetry").length > settled + 1000, 10_000);
      await server.stop("SIGKILL");
      server = await mosquitto(port, folder, "allow_anonymous true\nmax_queued_messages 0\n");
      await until("the subscriber is back", () => client.connected, 10_000);
    }
    await until("all settled", () => queue.owed("telemetry") === 0, 30_000);
    expect(forwarder.status().connections).toBeGreaterThanOrEqual(4);
    // What mosquitto took between its start and the subscriber's return had no receiver; the queue was told the truth.
    expect(queue.settled("telemetry")).toHaveLength(20_000);
    expect(new Set(got.map((one) => one.id)).size).toBeGreaterThan(1000);
  });

  it("publishes our will when we vanish, and not when we stop", async () => {
    const port = await freePort();
    await mosquitto(port, home());
    const { got } = await subscriber(port);
    const open = async () => {
      const will = willMessage(topics, "gw", "cloud");
      const uplink = mqttUplink({ url: `mqtt://127.0.0.1:${port}` }, { will });
      const lost = new Promise<Error>((resolve, reject) => {
        uplink.connect(resolve, live()).catch(reject);
      });
      await until(
        "a session",
        async () => {
          const done = await uplink
            .send([], () => {}, live())
            .then(
              () => true,
              () => false,
            );
          return done;
        },
        5000,
      );
      return { uplink, lost };
    };
    const calm = await open();
    await calm.uplink.close();
    const first = await open();
    // The same client id: mosquitto 2.0 ends the first session without a reason, and publishes its will.
    const second = await open();
    expect((await first.lost).message).toMatch(/client id millrace-gw-cloud used twice/);
    await until("the will", () => got.length > 0, 5000);
    await second.uplink.close();
    expect(got.map((one) => [one.topic, JSON.parse(one.text).reason])).toEqual([["gw/status", "connection lost"]]);
  });

  it("refuses a wrong password, and takes the right one", async () => {
    const port = await freePort();
    const folder = home();
    const file = join(folder, "passwords");
    execFileSync(needProgram("mosquitto_passwd", "mosquitto"), ["-b", "-c", file, "gw", "hunter2"], {
      stdio: "ignore",
    });
    await mosquitto(port, folder, `allow_anonymous false\npassword_file ${file}\n`);
    const options = { url: `mqtt://127.0.0.1:${port}`, password: { env: "X" } };
    for (const version of [5, 4]) {
      const wrong = mqttUplink({ ...options, username: "other", version });
      await expect(wrong.connect(() => {}, live())).rejects.toBeInstanceOf(ConfigError);
      const right = mqttUplink({ ...options, username: "gw", version });
      expect(await right.connect(() => {}, live())).toMatchObject({ properties: version === 5 });
      await right.close();
    }
  });

  it("is verified over TLS: authority, name, and our own certificate", async () => {
    const port = await freePort();
    const folder = home();
    certificates(folder);
    const at = (name: string) => join(folder, name);
    await mosquitto(
      port,
      folder,
      `allow_anonymous true\ncafile ${at("ca.pem")}\ncertfile ${at("server.pem")}\nkeyfile ${at("server.key")}\nrequire_certificate true\n`,
    );
    const url = `mqtts://localhost:${port}`;
    const client = { cert: "client.pem", key: "client.key" };
    const connect = async (tls: Record<string, string>, to = url) => {
      const uplink = mqttUplink({ url: to, tls, connectTimeout: "3s" }, { path: at });
      try {
        await uplink.connect(() => {}, live());
      } finally {
        await uplink.close();
      }
    };
    await connect({ ca: "ca.pem", ...client });
    await connect({ ca: "ca.pem", ...client, servername: "localhost" }, `mqtts://127.0.0.1:${port}`);
    await expect(connect(client)).rejects.toThrow(ConfigError);
    await expect(connect({ ca: "ca.pem", ...client, servername: "elsewhere" })).rejects.toThrow(
      /altnames|servername|Host/,
    );
    await expect(connect({ ca: "ca.pem" })).rejects.toThrow();
    await expect(connect({ ca: "missing.pem", ...client })).rejects.toThrow(/tls.ca/);
    await expect(connect({ ca: "ca.pem", cert: "client.pem", key: "server.key" })).rejects.toThrow(ConfigError);
  });
});

describe("aedes, which speaks 3.1.1 only", () => {
  it("is found out, and gets the envelope", async () => {
    const broker = await Aedes.createBroker();
    const server = createServer(broker.handle);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
    cleanUp.push(() => new Promise((resolve) => broker.close(() => server.close(resolve))));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    const got: string[] = [];
    broker.on("publish", (packet) => {
      if (packet.topic === "plant/a") got.push(packet.payload.toString());
    });
    const { forwarder, queue } = forwarderTo(address.port);
    queue.add("telemetry", numbers(100));
    forwarder.start();
    await until("all settled", () => queue.owed("telemetry") === 0, 10_000);
    await forwarder.stop();
    expect(got.map((text) => JSON.parse(text).payload)).toEqual(numbers(100).map(Number));
    expect(JSON.parse(got[41] ?? "")["_m"]).toMatchObject({ id: "gw/telemetry/1a2b3c4d/42", prev: 41 });
  });
});

/** An authority, a server for localhost, and a client; days of life. */
function certificates(folder: string): void {
  const openssl = needProgram("openssl", "openssl");
  const run = (...args: string[]) => execFileSync(openssl, args, { cwd: folder, stdio: "ignore" });
  const key = ["-newkey", "rsa:2048", "-nodes", "-days", "3"];
  run("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority");
  for (const [name, subject] of [
    ["server", "localhost"],
    ["client", "gw"],
  ] as const) {
    writeFileSync(join(folder, `${name}.ext`), `subjectAltName=DNS:${subject}\n`);
    run("req", ...key.slice(0, 3), "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${subject}`);
    run(
      ...["x509", "-req", "-in", `${name}.csr`, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"],
      ...["-days", "3", "-out", `${name}.pem`, "-extfile", `${name}.ext`],
    );
  }
}
