import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect as connectMqtt, type IPublishPacket, type MqttClient } from "mqtt";
import { afterAll, describe, expect, it } from "vitest";
import {
  freePort,
  millrace,
  mosquitto,
  needProgram,
  type Process,
  scratch,
  startGateway,
  until,
} from "../support/processes.ts";

/**
 * A gateway without a battery-backed clock: libfaketime gives it a wall clock that starts in 1970 and is stepped from
 * here, while its monotonic clock stays the machine's. The test's own clock is the truth.
 */
const home = scratch("clock");
const cleanup: (() => Promise<unknown> | unknown)[] = [];

afterAll(async () => {
  for (const step of cleanup.reverse()) await step();
  if (process.env["MILLRACE_KEEP"]) console.log(home.path);
  else home.remove();
});

/** Debian puts it into a folder of the machine's architecture. */
function faketimeLibrary(): string {
  needProgram("faketime", "faketime");
  const found = readdirSync("/usr/lib")
    .map((folder) => join("/usr/lib", folder, "faketime", "libfaketimeMT.so.1"))
    .find((path) => existsSync(path));
  if (found === undefined) throw new Error("libfaketimeMT.so.1 is not installed: apt-get install libfaketime");
  return found;
}

/** The wall clock of one gateway. */
class FakeClock {
  readonly env: Record<string, string>;
  readonly #file: string;

  constructor(name: string) {
    this.#file = join(home.path, `${name}.time`);
    this.to1970();
    this.env = {
      LD_PRELOAD: faketimeLibrary(),
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      NO_FAKE_STAT: "1",
    };
  }
  to1970(): void {
    this.by(5 - Math.floor(Date.now() / 1000));
  }
  /** So many seconds beside the truth. */
  by(seconds: number): void {
    writeFileSync(`${this.#file}.new`, `${seconds < 0 ? "-" : "+"}${Math.abs(seconds)}\n`);
    renameSync(`${this.#file}.new`, this.#file);
  }
}

interface Config {
  readonly local: number;
  readonly url: string;
  readonly more?: string;
}
function configFile(name: string, { local, url, more = "" }: Config): string {
  const file = join(home.path, `${name}.yaml`);
  writeFileSync(
    file,
    `gateway: { id: ${name}, dataDir: ${join(home.path, `data-${name}`)} }
queue: { minFree: 16MiB }
http: { port: 0 }
broker: { listeners: [ { port: ${local} } ] }
capture: [ { topics: ["plant/scan/#"], stream: events } ]
links:
  - name: sim
    driver: simulated
    devices:
      - { name: press, topic: plant/press, tags: [ { name: t, wave: ramp, period: 10s, every: 200ms } ] }
uplinks: [ { name: cloud, type: mqtt, url: "${url}"${more} } ]
`,
  );
  return file;
}

/** When each message was published, and when its PUBACK was here: it was taken in between. */
interface Truth {
  readonly sentMs: number;
  readonly ackedMs: number;
}

class Scanner {
  readonly truth = new Map<number, Truth>();
  readonly #client: MqttClient;

  constructor(port: number) {
    this.#client = connectMqtt(`mqtt://127.0.0.1:${port}`, { protocolVersion: 4, reconnectPeriod: 50 });
    this.#client.on("error", () => {});
    cleanup.push(() => this.#client.endAsync(true));
  }
  async publish(count: number): Promise<void> {
    for (let left = count; left > 0; left -= 1) {
      const n = this.truth.size;
      const sentMs = Date.now();
      await this.#client.publishAsync("plant/scan/a", JSON.stringify({ n }), { qos: 1 });
      this.truth.set(n, { sentMs, ackedMs: Date.now() });
    }
  }
}

interface Got {
  readonly topic: string;
  readonly body: Record<string, unknown>;
  readonly properties: Record<string, string>;
}

class Witness {
  readonly got: Got[] = [];

  async listen(url: string, options: object = {}): Promise<this> {
    const client = connectMqtt(url, {
      ...options,
      clientId: "witness",
      clean: false,
      protocolVersion: 5,
      reconnectPeriod: 200,
      properties: { sessionExpiryInterval: 3600, receiveMaximum: 1000 },
    });
    cleanup.push(() => client.endAsync(true));
    client.on("error", () => {});
    client.on("message", (topic, payload, packet: IPublishPacket) => {
      const properties = { ...packet.properties?.userProperties } as Record<string, string>;
      this.got.push({ topic, body: JSON.parse(payload.toString()) as Record<string, unknown>, properties });
    });
    await client.subscribeAsync("#", { qos: 1 });
    return this;
  }
  get scans(): Got[] {
    return this.got.filter(({ topic }) => topic === "plant/scan/a");
  }
  get polled(): Got[] {
    return this.got.filter(({ topic }) => topic === "plant/press");
  }
  get clocks(): Got[] {
    return this.got.filter(({ topic }) => topic.endsWith("/clock"));
  }
}

const numberOf = ({ body }: Got) => Number(body["n"]);

/** How far a time is from when it may have been: 0 between sending and acknowledgement. */
function errorMs(ts: number, truth: Truth | undefined): number {
  if (truth === undefined) return Number.POSITIVE_INFINITY;
  return Math.max(0, truth.sentMs - ts, ts - truth.ackedMs);
}

const greatest = (numbers: readonly number[]) => Math.max(0, ...numbers);
const isSynced = (gateway: Process) => gateway.line(/"msg":"clock is set"/, 10_000);

describe("a gateway that starts in 1970", () => {
  it("delivers what it took before the clock was set with the right time, also after a kill", async () => {
    const broker = await mosquitto(join(home.path, "mosquitto-a"));
    cleanup.push(() => broker.stop());
    const url = `mqtt://127.0.0.1:${broker.port}`;
    const witness = await new Witness().listen(url);
    await broker.stop();
    const local = await freePort();
    const file = configFile("late", { local, url });
    const clock = new FakeClock("late");
    const beganMs = Date.now();
    let gateway = await startGateway(file, clock.env);
    cleanup.push(() => gateway.stop("SIGKILL"));
    await gateway.line(/"msg":"clock is not set"/);
    const scanner = new Scanner(local);
    await scanner.publish(600);
    const steppedMs = Date.now();
    clock.by(0);
    await isSynced(gateway);
    // The offset is on disk, or learnt again: it is the same boot.
    await gateway.stop("SIGKILL");
    gateway = await startGateway(file, clock.env);
    await broker.start();
    await until("600 delivered", () => witness.scans.length >= 600, 60_000);
    await until("polled", () => witness.polled.some(({ properties }) => properties["clock"] === "synced"), 60_000);

    const { scans, polled } = witness;
    const errors = scans.map((got) => errorMs(Number(got.properties["ts"]), scanner.truth.get(numberOf(got))));
    const early = polled.filter(({ properties }) => properties["clock"] === "corrected");
    const figures = {
      delivered: new Set(scans.map(numberOf)).size,
      corrected: scans.filter(({ properties }) => properties["clock"] === "corrected").length,
      greatestErrorMs: greatest(errors),
      uncertaintyMs: greatest(scans.map(({ properties }) => Number(properties["uncertainty"]))),
      polledCorrected: early.length,
      clockRecords: witness.clocks.length,
    };
    console.log(JSON.stringify(figures));
    expect(scans.map(numberOf)).toEqual([...scanner.truth.keys()]);
    expect(figures).toMatchObject({ delivered: 600, corrected: 600, clockRecords: 0 });
    expect(figures.greatestErrorMs).toBeLessThanOrEqual(50);
    expect(early.length).toBeGreaterThan(0);
    for (const { body } of early) {
      expect(Number(body["ts"])).toBeGreaterThanOrEqual(beganMs - 50);
      expect(Number(body["ts"])).toBeLessThanOrEqual(steppedMs + 2000);
    }
    expect(polled.filter(({ properties }) => properties["clock"] === "unsynced")).toEqual([]);
  });

  it("dates what it sent already with one clock record, and loses and reorders nothing in a step back", async () => {
    const broker = await mosquitto(join(home.path, "mosquitto-b"));
    cleanup.push(() => broker.stop());
    const url = `mqtt://127.0.0.1:${broker.port}`;
    const witness = await new Witness().listen(url);
    const verify = millrace([
      "verify",
      "--url",
      url,
      "--client-id",
      "verifier",
      "--json",
      "--for",
      "1h",
      "--from-start",
    ]);
    cleanup.push(() => verify.stop("SIGKILL"));
    await verify.line(/^connected/);
    const local = await freePort();
    const clock = new FakeClock("now");
    const gateway = await startGateway(configFile("now", { local, url }), clock.env);
    cleanup.push(() => gateway.stop("SIGKILL"));
    const scanner = new Scanner(local);
    const arrived = () => until("all delivered", () => witness.scans.length >= scanner.truth.size, 30_000);
    await scanner.publish(200);
    await arrived();
    expect(witness.clocks).toEqual([]);
    clock.by(0);
    await until("the clock record", () => witness.clocks.length > 0, 10_000);
    await scanner.publish(100);
    clock.by(-7200);
    await scanner.publish(100);
    await gateway.line(/"msg":"clock stepped"/, 10_000);
    await scanner.publish(100);
    clock.by(0);
    await scanner.publish(100);
    await arrived();
    expect(await gateway.stop("SIGTERM")).toBe(0);
    await until("the last status", () => witness.got.some(({ body }) => body["state"] === "offline"), 10_000);
    await verify.stop("SIGINT");
    const report = JSON.parse(verify.lines.slice(verify.lines.indexOf("{")).join("\n")) as {
      complete: boolean;
      duplicates: number;
      chains: { outOfOrder: number }[];
      clock: Record<string, number>;
    };

    const { scans, clocks } = witness;
    const unsynced = scans.slice(0, 200);
    const offset = Number(clocks[0]?.body["offset"]);
    const errors = unsynced.map((got) =>
      errorMs(offset + Number(got.properties["mono"]), scanner.truth.get(numberOf(got))),
    );
    const { complete, duplicates, chains, clock: dated } = report;
    const outOfOrder = chains.reduce((sum, chain) => sum + chain.outOfOrder, 0);
    console.log(
      JSON.stringify({ sent: scans.length, greatestErrorMs: greatest(errors), clocks: clocks.length, dated }),
    );
    expect(unsynced.every(({ properties }) => properties["clock"] === "unsynced")).toBe(true);
    expect(new Set(unsynced.map(({ properties }) => properties["boot"]))).toEqual(new Set([clocks[0]?.body["boot"]]));
    expect(clocks).toHaveLength(1);
    expect(greatest(errors)).toBeLessThanOrEqual(50);
    // In the order in which they were taken, none missing, none twice.
    expect(scans.map(numberOf)).toEqual([...scanner.truth.keys()]);
    expect(scans.slice(200).every(({ properties }) => properties["clock"] !== "unsynced")).toBe(true);
    expect({ complete, duplicates, outOfOrder }).toEqual({ complete: true, duplicates: 0, outOfOrder: 0 });
    expect(dated["covered"]).toBe(dated["unsynced"]);
    expect(dated["unsynced"]).toBeGreaterThanOrEqual(200);
  });

  it("tries a TLS server again whose certificate is not yet valid by such a clock, and names it", async () => {
    const dir = join(home.path, "mosquitto-c");
    execFileSync("mkdir", ["-p", dir]);
    const cert = join(dir, "cert.pem");
    const key = join(dir, "key.pem");
    const openssl = needProgram("openssl", "openssl");
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    const made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"];
    execFileSync(openssl, [...made, "-keyout", key, "-out", cert, ...subject], { stdio: "ignore" });
    const secure = await freePort();
    const tls = `listener ${secure} 127.0.0.1\ncertfile ${cert}\nkeyfile ${key}`;
    const broker = await mosquitto(dir, tls);
    cleanup.push(() => broker.stop());
    const witness = await new Witness().listen(`mqtt://127.0.0.1:${broker.port}`);
    const local = await freePort();
    const clock = new FakeClock("tls");
    const url = `mqtts://localhost:${secure}`;
    const file = configFile("tls", { local, url, more: `, tls: { ca: ${cert} }` });
    const gateway = await startGateway(file, clock.env);
    cleanup.push(() => gateway.stop("SIGKILL"));
    const scanner = new Scanner(local);
    await scanner.publish(10);
    const told = JSON.parse(await gateway.line(/not yet valid/, 10_000)) as Record<string, unknown>;
    expect(told["msg"]).toBe("uplink cannot connect");
    expect(told["level"]).toBe("warn");
    expect(told["reason"]).toMatch(/not yet valid, by a clock that is not set \(1970-01-01T/);
    expect(witness.scans).toEqual([]);
    clock.by(0);
    // The normal pauses: 1 s at first, not the two minutes of a fault that a person has to cure.
    await until("delivered over TLS", () => witness.scans.length >= 10, 60_000);
    expect(witness.scans.every(({ properties }) => properties["clock"] === "corrected")).toBe(true);
    const errors = witness.scans.map((got) => errorMs(Number(got.properties["ts"]), scanner.truth.get(numberOf(got))));
    expect(greatest(errors)).toBeLessThanOrEqual(50);
    expect(await gateway.stop("SIGTERM")).toBe(0);
  });
});
