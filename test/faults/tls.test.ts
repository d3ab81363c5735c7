import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { TLSSocket, TlsOptions } from "node:tls";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import type { Clock } from "../../gateway/core/clock.ts";
import type { Metrics } from "../../gateway/core/metrics.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { valuesEncoder } from "../../gateway/northbound/encoders/values.ts";
import { Forwarder } from "../../gateway/northbound/forwarder.ts";
import { mqttModule } from "../../gateway/northbound/mqtt/module.ts";
import { topicMapper } from "../../gateway/northbound/topics.ts";
import { ListQueue } from "../fakes/list-queue.ts";
import { context, recordingLogger } from "../northbound/mqtt/harness.ts";
import { until } from "../northbound/until.ts";
import { Authority, type Issued, pems } from "../support/authority.ts";
import { scratch } from "../support/processes.ts";
import { StrictBroker } from "../support/strict-broker.ts";

const folder = scratch("tls");
afterAll(() => folder.remove());
const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

const clock: Clock = {
  bootId: "boot-1",
  now: () => ({ wallMs: Date.now(), monoMs: performance.now(), clock: "synced" }),
};
const authority = new Authority(folder.path, "plant-ca");
const stranger = new Authority(folder.path, "stranger-ca");
const good = authority.issue("good", "localhost");

interface Given {
  readonly server: TlsOptions;
  readonly tls: Record<string, unknown>;
  readonly metrics?: Metrics;
  readonly options?: Record<string, unknown>;
}

async function setUp({ server, tls, metrics = noMetrics, options = {} }: Given) {
  const broker = await new StrictBroker({}, server).listen();
  const queue = new ListQueue();
  queue.add("telemetry", ["1", "2", "3"]);
  const { log, lines } = recordingLogger();
  const mqtt = mqttModule.schema.parse({ url: broker.url, tls: { recheck: "100ms", ...tls }, ...options });
  const forwarder = new Forwarder({
    name: "cloud",
    queue,
    gatewayId: "gw",
    uplink: () => mqttModule.create(mqtt, context({ log, clock, metrics })),
    encoder: valuesEncoder,
    topics: topicMapper("{topic}", "gw"),
    clock,
    log,
    metrics,
    options: {
      backoff: { baseMs: 5, capMs: 20, stableMs: 30_000 },
      alarmBackoff: { baseMs: 20, capMs: 20, stableMs: 30_000 },
      drainMs: 50,
      farewellMs: 50,
    },
  });
  stops.push(() => broker.close());
  stops.push(() => forwarder.stop());
  forwarder.start();
  return { broker, queue, forwarder, lines };
}

/** TLS 1.1 is only there with the lowest security level. */
const OLD: TlsOptions = { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" };
const rsaFree = (issued: Issued): TlsOptions => pems(issued);

const rows: string[] = [];
const HEAD = "case                    bytes  owed  cause";
afterAll(() => process.stdout.write(`\n${[HEAD, ...rows].join("\n")}\n`));

describe("a server whose TLS is not right is refused with the cause, before any byte of MQTT", () => {
  const revoked = authority.issue("revoked", "localhost");
  authority.revoke(revoked);
  const crl = authority.crl();
  const cases: readonly [string, TlsOptions, Record<string, unknown>, RegExp][] = [
    ["expired", rsaFree(authority.issue("expired", "localhost", [-30, -1])), {}, /expired/],
    ["not yet valid", rsaFree(authority.issue("future", "localhost", [2, 30])), {}, /not yet valid/],
    ["wrong host", rsaFree(authority.issue("other", "other.example")), {}, /localhost.*is not in the cert/],
    ["unknown CA", rsaFree(stranger.issue("stranger", "localhost")), {}, /unable to (verify|get)/],
    ["TLS 1.1 only", { ...rsaFree(good), ...OLD }, {}, /TLS 1\.2 or newer/],
    ["revoked", rsaFree(revoked), { crl }, /revoked/],
  ];
  it.each(cases)("%s", async (name, server, tls, cause) => {
    const { broker, queue, forwarder, lines } = await setUp({ server, tls: { ca: authority.ca, ...tls } });
    await until(() => expect(forwarder.status().alarm).toMatch(cause));
    const told = lines.find(({ level, message }) => level === "error" && message === "uplink needs attention");
    expect(String(told?.fields["reason"])).toMatch(cause);
    expect(broker.received).toBe(0);
    expect(queue.owed("telemetry")).toBe(3);
    rows.push(
      `${name.padEnd(22)}${String(broker.received).padStart(7)}  ${queue.owed("telemetry")}     ${told?.fields["reason"]}`,
    );
  });

  it("one that is right, with the same revocation list, is not", async () => {
    const { queue } = await setUp({ server: rsaFree(good), tls: { ca: authority.ca, crl } });
    await until(() => expect(queue.owed("telemetry")).toBe(0));
  });
});

describe("certificates are renewed without a restart", () => {
  const mutual = (): TlsOptions => ({
    ...pems(good),
    ca: readFileSync(authority.ca),
    requestCert: true,
    rejectUnauthorized: true,
  });
  const install = (issued: Issued) => {
    copyFileSync(issued.key, join(folder.path, "client.key"));
    copyFileSync(issued.cert, join(folder.path, "client.pem"));
  };
  const files = { ca: authority.ca, cert: join(folder.path, "client.pem"), key: join(folder.path, "client.key") };
  const serialOf = (broker: StrictBroker) => (broker.session.socket as TLSSocket).getPeerCertificate().serialNumber;

  it("the client's: after a handshake of its own; one that the server refuses leaves the connection alone", async () => {
    install(authority.issue("client-1", "press-shop-01"));
    const { broker, queue, forwarder, lines } = await setUp({ server: mutual(), tls: files });
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    const first = serialOf(broker);
    install(stranger.issue("client-x", "press-shop-01"));
    const refused = () => lines.some(({ message }) => message.startsWith("renewed TLS files do not work"));
    await until(() => expect(refused()).toBe(true));
    expect([broker.sessions.length, forwarder.status().state]).toEqual([1, "connected"]);
    // A connection that is lost meanwhile is made again with the files that worked.
    broker.session.socket.destroy();
    await until(() => expect(broker.sessions.length).toBe(2));
    expect(serialOf(broker)).toBe(first);
    install(authority.issue("client-2", "press-shop-01"));
    await until(() => expect(broker.sessions.length).toBe(3));
    queue.add("telemetry", ["4"]);
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    expect(serialOf(broker)).not.toBe(first);
  });

  it("the server's: as soon as it is valid again", async () => {
    const server = rsaFree(authority.issue("late", "localhost", [-30, -1]));
    const { broker, queue, forwarder } = await setUp({ server, tls: { ca: authority.ca } });
    await until(() => expect(forwarder.status().alarm).toMatch(/expired/));
    broker.renew(rsaFree(good));
    await until(() => expect(queue.owed("telemetry")).toBe(0));
  });

  it("the end of each is a metric, and told at 30, 7 and 1 days", async () => {
    const ends = new Map<string, number>();
    const gauge = {
      set: (value: number, labels: Readonly<Record<string, string>> = {}) =>
        void ends.set(labels["certificate"] ?? "", value),
    };
    const metrics: Metrics = {
      ...noMetrics,
      gauge: (name) => (name.includes("certificate") ? gauge : noMetrics.gauge("", "")),
    };
    install(authority.issue("client-3", "press-shop-01", [-1, 5]));
    const { lines, forwarder } = await setUp({ server: mutual(), tls: files, metrics });
    await until(() => expect(forwarder.status().alarm).toMatch(/the client certificate ends in 5 d/));
    expect([...ends.keys()].sort()).toEqual(["ca", "client", "server"]);
    expect(ends.get("client")).toBeCloseTo(Date.now() / 1000 + 5 * 86_400, -2);
    expect(lines.filter(({ message }) => message === "a certificate ends soon")).toMatchObject([
      { fields: { days: 7 } },
    ]);
  });
});

it("the protocol asked for by ALPN and the name by SNI arrive", async () => {
  const { broker, queue } = await setUp({
    server: { ...pems(good), ALPNProtocols: ["x-amzn-mqtt-ca", "mqtt"] },
    tls: { ca: authority.ca, alpn: "x-amzn-mqtt-ca" },
  });
  await until(() => expect(queue.owed("telemetry")).toBe(0));
  const socket = broker.session.socket as TLSSocket & { servername?: string };
  expect([socket.alpnProtocol, socket.servername]).toEqual(["x-amzn-mqtt-ca", "localhost"]);
});
