import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connect as connectMqtt, type MqttClient } from "mqtt";
import { afterAll, describe, expect, it } from "vitest";
import { freePort, type Mosquitto, millrace, mosquitto, scratch, startGateway, until } from "../support/processes.ts";
import { Random, seedOf } from "../support/random.ts";

/**
 * The main job with somebody else's broker in the plant: clients publish with QoS 1 and 2 to Debian's mosquitto, the gateway
 * captures there. The upstream goes away, the gateway is killed (SIGKILL), the local mosquitto is restarted (with its
 * persistence), one in the other at random. What the local broker acknowledged to a client must arrive upstream.
 * MILLRACE_EXTERNAL_CYCLES sets how many such events (default 6, in MQTT 5 and in 3.1.1 each; long run 100), MILLRACE_SEED their order.
 */
const cycles = Number(process.env["MILLRACE_EXTERNAL_CYCLES"] ?? 6);
const random = new Random(seedOf(process.env["MILLRACE_SEED"]));
const { seed } = random;
const CLIENTS = 4;
const EVERY_MS = 10;
/** `receiveMaximum`. */
const WINDOW = 100;
const home = scratch("external");
const cleanup: (() => Promise<unknown> | unknown)[] = [];

afterAll(async () => {
  for (const step of cleanup.reverse()) await step();
  if (process.env["MILLRACE_KEEP"]) console.log(home.path);
  else home.remove();
});

const config = (
  data: string,
  version: string,
  local: number,
  upstream: number,
  http: number,
) => `gateway: { id: ext, dataDir: ${data} }
queue: { minFree: 16MiB, segment: 1MiB }
http: { port: ${http} }
broker: { external: { url: "mqtt://127.0.0.1:${local}", version: ${version} } }
capture: [ { topics: ["plant/#"], stream: events } ]
links:
  - name: sim
    driver: simulated
    devices: [ { name: sim-1, topic: plant/sim-1, tags: [ { name: level, type: float64, every: 500ms } ] } ]
uplinks: [ { name: cloud, type: mqtt, url: "mqtt://127.0.0.1:${upstream}" } ]
`;

/** Publishes until told to stop; `acknowledged` is what the broker said yes to. */
class Publisher {
  readonly acknowledged = new Set<string>();
  readonly #client: MqttClient;
  readonly #name: string;
  readonly #qos: 1 | 2;
  #going = true;
  #done: Promise<void> | undefined;

  constructor(port: number, name: string, qos: 1 | 2) {
    this.#name = name;
    this.#qos = qos;
    this.#client = connectMqtt(`mqtt://127.0.0.1:${port}`, {
      clientId: name,
      clean: false,
      reconnectPeriod: 100,
      protocolVersion: 4,
    });
    this.#client.on("error", () => {});
  }
  start(): void {
    this.#done = this.#run();
  }
  /** Resolves when everything was acknowledged. */
  async stop(): Promise<void> {
    this.#going = false;
    await this.#done;
    await this.#client.endAsync();
  }
  async #run(): Promise<void> {
    for (let n = 0; this.#going; n++) {
      const key = `${this.#name}/${n}`;
      await this.#client.publishAsync(`plant/${this.#name}`, key, { qos: this.#qos });
      this.acknowledged.add(key);
      await pause(EVERY_MS);
    }
  }
}

interface Tally {
  upstreamOutages: number;
  gatewayKills: number;
  localRestarts: number;
  localRestartsWhileKilled: number;
}

describe("mosquitto as the local broker", () => {
  const timeout = cycles * 30_000 + 120_000;
  it.each(["5", "4"])(
    `loses nothing that it acknowledged, over ${cycles} outages, version %s`,
    { timeout },
    async (version) => {
      console.log(`MILLRACE_SEED=${seed}`);
      const local: Mosquitto = await mosquitto(join(home.path, version, "local"));
      cleanup.push(() => local.stop());
      const upstream: Mosquitto = await mosquitto(join(home.path, version, "upstream"));
      cleanup.push(() => upstream.stop());
      const http = await freePort();
      const file = join(home.path, version, "millrace.yaml");
      writeFileSync(file, config(join(home.path, version, "data"), version, local.port, upstream.port, http));

      const seen = new Map<string, number>();
      const receiver = connectMqtt(`mqtt://127.0.0.1:${upstream.port}`, {
        clientId: "receiver",
        clean: false,
        reconnectPeriod: 100,
        protocolVersion: 5,
        properties: { sessionExpiryInterval: 3600 },
      });
      cleanup.push(() => receiver.endAsync(true));
      receiver.on("error", () => {});
      receiver.on("message", (topic, payload) => {
        if (!topic.startsWith("plant/client")) return;
        const key = payload.toString();
        seen.set(key, (seen.get(key) ?? 0) + 1);
      });
      await receiver.subscribeAsync("#", { qos: 1 });
      const verify = millrace([
        ...["verify", "--url", `mqtt://127.0.0.1:${upstream.port}`, "--topic", "#", "--client-id", "verifier"],
        ...["--json", "--for", "1h"],
      ]);
      cleanup.push(() => verify.stop("SIGKILL"));

      let gateway = await startGateway(file);
      cleanup.push(() => gateway.stop("SIGKILL"));
      const brokerStatus = async () => {
        const answer = await fetch(`http://127.0.0.1:${http}/status`).catch(() => undefined);
        return ((await answer?.json()) as { broker?: Record<string, unknown> } | undefined)?.broker ?? {};
      };
      // Before that, nobody keeps anything for the gateway.
      await until(
        "the gateway has its session",
        async () => JSON.stringify((await brokerStatus())["subscriptions"] ?? "").includes("subscribed"),
        10_000,
      );
      const publishers = Array.from(
        { length: CLIENTS },
        (_, n) => new Publisher(local.port, `client-${n}`, n === 0 ? 2 : 1),
      );
      for (const publisher of publishers) publisher.start();
      cleanup.push(() => Promise.race([Promise.all(publishers.map((one) => one.stop())), pause(5000)]));

      const tally: Tally = { upstreamOutages: 0, gatewayKills: 0, localRestarts: 0, localRestartsWhileKilled: 0 };
      const restart = async () => {
        tally.gatewayKills += 1;
        await gateway.stop("SIGKILL");
        return async () => {
          gateway = await startGateway(file);
        };
      };
      const outages = {
        upstream: async () => {
          tally.upstreamOutages += 1;
          await upstream.stop();
          await pause(random.whole(500, 3000));
          // A kill in the middle of every other outage.
          if (random.chance(0.5)) await (await restart())();
          await pause(random.whole(200, 1000));
          await upstream.start();
        },
        kill: async () => {
          const again = await restart();
          if (random.chance(0.5)) {
            tally.localRestartsWhileKilled += 1;
            await local.stop();
            await pause(random.whole(100, 1000));
            await local.start();
          }
          await pause(random.whole(0, 1000));
          await again();
        },
        local: async () => {
          tally.localRestarts += 1;
          await local.stop();
          await pause(random.whole(100, 2000));
          await local.start();
        },
      };
      const begun = performance.now();
      for (let cycle = 0; cycle < cycles; cycle += 1) {
        await pause(random.whole(200, 1500));
        const kind = cycle % 3 === 0 ? "upstream" : random.chance(0.5) ? "kill" : "local";
        await outages[kind]();
      }
      await Promise.all(publishers.map((publisher) => publisher.stop()));
      const acknowledged = publishers.flatMap((publisher) => [...publisher.acknowledged]);
      const missing = () => acknowledged.filter((key) => !seen.has(key));
      await until("everything is upstream", () => missing().length === 0, 60_000).catch(() => {});
      const status = await brokerStatus();
      const seconds = Math.round((performance.now() - begun) / 1000);
      expect(await gateway.stop("SIGTERM")).toBe(0);
      await pause(500);
      expect(await verify.stop("SIGINT")).toBe(0);
      const report = JSON.parse(verify.lines.slice(verify.lines.indexOf("{")).join("\n")) as {
        readonly chains: readonly { readonly stream: string; readonly received: number }[];
      };
      const lost = missing();
      const twice = acknowledged.reduce((sum, key) => sum + (seen.get(key) ?? 1) - 1, 0);
      const events = report.chains.filter(({ stream }) => stream === "events");
      const storedTwice = events.reduce((sum, { received }) => sum + received, 0) - seen.size;
      const { sessionsLost, refused, shed, ignored } = status;
      const figures = {
        version,
        seed,
        seconds,
        cycles,
        ...tally,
        acknowledged: acknowledged.length,
        lost: lost.length,
        twice,
        storedTwice,
      };
      console.log(JSON.stringify({ ...figures, sessionsLost, refused, shed, ignored }));
      console.log(JSON.stringify(report));
      expect(lost).toEqual([]);
      // What was stored and not answered, and what clients whose broker went away sent again.
      const lostConnections = tally.gatewayKills + tally.localRestarts + tally.localRestartsWhileKilled;
      expect(storedTwice).toBeLessThanOrEqual(lostConnections * (WINDOW + CLIENTS));
      expect({ sessionsLost, refused }).toEqual({ sessionsLost: 0, refused: 0 });
    },
  );
});
