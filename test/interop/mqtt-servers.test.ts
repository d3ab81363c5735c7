import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import mqttPacket from "mqtt-packet";
import { afterAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { MissingJars } from "../support/maven.ts";
import { MQTT_SERVERS, type MqttServer } from "../support/mqtt-servers.ts";
import { millrace, until } from "../support/processes.ts";
import { Relay } from "../support/relay.ts";
import { areThere, publish, type Taken, UplinkRig } from "../support/uplink-rig.ts";

/**
 * The gateway's own process into MQTT servers that others wrote: records from a local client, the link cut, the gateway killed, the
 * server killed where it keeps what it acknowledges, and what a client with a kept session gets there.
 */

const RECORDS = Number(process.env["MILLRACE_RECORDS"] ?? 2_000);
const LOGIN = { username: "gw", password: { env: "BROKER_PASSWORD" } };
const rig = new UplinkRig("mqtt-servers", { name: "cloud", type: "mqtt", ...LOGIN }, { BROKER_PASSWORD: "gw-secret" });
afterAll(() => rig.end());

const meta = z.looseObject({ _m: z.looseObject({ id: z.string() }) });

/** Somebody upstream who misses nothing while away: the session is kept by the server. */
class Upstream {
  readonly got: Taken[] = [];
  /** As `millrace verify --file` reads them. */
  readonly lines: string[] = [];
  readonly #server: MqttServer;
  #client: MqttClient | undefined;

  constructor(server: MqttServer) {
    this.#server = server;
  }

  async start(): Promise<void> {
    const { port, protocol } = this.#server;
    const client = await connectAsync(`mqtt://127.0.0.1:${port}`, {
      clientId: "upstream",
      clean: false,
      protocolVersion: protocol,
      ...(protocol === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}),
      username: "gw",
      password: "gw-secret",
      reconnectPeriod: 200,
    });
    this.#client = client;
    client.on("error", () => {});
    client.on("message", (topic, payload, packet) => {
      const text = payload.toString();
      const properties = packet.properties?.userProperties ?? {};
      this.lines.push(JSON.stringify({ topic, payload: text, properties: { "user-properties": properties } }));
      if (!topic.startsWith("plant/")) return;
      const n = Number(/"n":(\d+)/.exec(text)?.[1]);
      const id = properties["id"] ?? meta.parse(JSON.parse(text))._m.id;
      this.got.push({ topic, n, id: String(id) });
    });
    await client.subscribeAsync(["plant/#", "gw/#"], { qos: 1 });
  }

  async stop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.endAsync(true);
  }
}

/** Undefined where it cannot be had: said, and skipped. */
async function started(name: string): Promise<MqttServer | undefined> {
  try {
    const server = await MQTT_SERVERS[name]?.(join(rig.path, `server-${name}`));
    if (server) rig.cleanUp.push(() => server.stop());
    return server;
  } catch (error) {
    if (!(error instanceof MissingJars)) throw error;
    process.stdout.write(`skipped: ${error.message}\n`);
    return undefined;
  }
}

/** What the gateway sends, as it goes by: whether records that are sent for the first time are in order, over all connections. */
class Sent {
  disordered = 0;
  #highest = -1;
  readonly #seen = new Set<number>();
  readonly #connections = new Map<number, (chunk: Buffer) => void>();
  readonly #protocol: 4 | 5;

  constructor(protocol: 4 | 5) {
    this.#protocol = protocol;
  }

  see(chunk: Buffer, connection: number): void {
    const known = this.#connections.get(connection) ?? this.#reader();
    this.#connections.set(connection, known);
    known(chunk);
  }

  #reader(): (chunk: Buffer) => void {
    const parser = mqttPacket.parser({ protocolVersion: this.#protocol });
    parser.on("packet", (packet) => {
      if (packet.cmd !== "publish" || !packet.topic.startsWith("plant/")) return;
      const n = Number(/"n":(\d+)/.exec(packet.payload.toString())?.[1]);
      if (this.#seen.has(n)) return;
      this.#seen.add(n);
      if (n < this.#highest) this.disordered++;
      this.#highest = Math.max(n, this.#highest);
    });
    return (chunk) => void parser.parse(chunk);
  }
}

/** Of what arrived, each for the first time, how many came behind a later one of their topic. */
function overtaken(got: readonly Taken[]): number {
  const last = new Map<string, number>();
  const seen = new Set<string>();
  let count = 0;
  for (const { topic, n, id } of got) {
    if (seen.has(id)) continue;
    seen.add(id);
    if (n < (last.get(topic) ?? -1)) count++;
    last.set(topic, n);
  }
  return count;
}

describe.concurrent.each(Object.keys(MQTT_SERVERS))("%s", (name) => {
  it("gets every record, in order, through cuts of the link and kills of the gateway and of itself", async ({
    skip,
  }) => {
    const server = await started(name);
    if (server === undefined) return skip();
    const sent = new Sent(server.protocol);
    const relay = await new Relay(server.port, (chunk, connection) => sent.see(chunk, connection)).open();
    rig.cleanUp.push(() => relay.close());
    const upstream = new Upstream(server);
    await upstream.start();
    rig.cleanUp.push(() => upstream.stop());
    const version = server.protocol === 5 ? {} : { version: 4 };
    const { file, local } = await rig.configOf(name, { url: `mqtt://127.0.0.1:${relay.port}`, ...version });
    const body = (n: number) => JSON.stringify({ n, text: `größe ${n} 机` });
    let gateway = await rig.running(file);
    const part = Math.floor(RECORDS / 4);
    await publish(local, 0, part, body);
    await Promise.all([publish(local, part, 2 * part, body), cutTwice(relay)]);
    await publish(local, 2 * part, 3 * part, body);
    await gateway.stop("SIGKILL");
    gateway = await rig.running(file);
    await Promise.all([publish(local, 3 * part, RECORDS, body), server.restart?.()]);
    const far = () =>
      `${RECORDS} records at ${name}; there ${new Set(upstream.got.map(({ n }) => n)).size}; the gateway said ${gateway.lines.slice(-6).join("\n")}`;
    await until(far, () => areThere(upstream.got, RECORDS), 120_000);
    await gateway.stop();

    const { got } = upstream;
    const missing = RECORDS - new Set(got.map(({ n }) => n)).size;
    const duplicates = got.length - new Set(got.map(({ id }) => id)).size;
    expect(missing).toBe(0);
    const saved = join(rig.path, `${name}.ndjson`);
    writeFileSync(saved, `${upstream.lines.join("\n")}\n`);
    const proof = millrace(["verify", "--file", saved, "--from-start", "--strict"]);
    const code = await proof.exited;
    process.stdout.write(
      `${name} ${server.version}, MQTT ${server.protocol === 5 ? "5" : "3.1.1"}: ${RECORDS} records, missing ${missing}, duplicates ${duplicates}, sent out of order ${sent.disordered}, arrived so ${overtaken(got)}; verify ${code}\n`,
    );
    expect(code, proof.lines.join("\n")).toBe(0);
    // How a server hands on what it has is its own affair: Artemis 2.42 lets records overtake each other when its client is slow.
    expect(sent.disordered).toBe(0);
    await upstream.stop();
    await server.stop();
  }, 300_000);
});

async function cutTwice(relay: Relay): Promise<void> {
  const before = relay.connections;
  relay.cut();
  await until("it is connected again", () => relay.connections > before, 30_000);
  relay.cut();
}
