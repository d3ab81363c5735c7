import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DriverModule, Simulator } from "../../core/driver.ts";
import { messageOf } from "../../core/errors.ts";
import { type Logger, silentLogger } from "../../core/log.ts";
import type { CliIo } from "../io.ts";
import { startSimulator } from "../simulate.ts";
import { statusReport } from "../status/report.ts";
import { fetchJson } from "../status.ts";
import { Receiver } from "../verify/receiver.ts";
import { GatewayChild } from "./gateway-child.ts";
import { DemoModel } from "./model.ts";
import { demoConfig, meterDevice, PRESS_DEVICE, SENSOR_TOPIC, shownDevices } from "./plant.ts";
import { freePort } from "./ports.ts";
import { openPtyPair, type PtyPair } from "./pty-pair.ts";
import { Sensor } from "./sensor.ts";
import { Upstream } from "./upstream.ts";

export interface ShopOptions {
  readonly io: CliIo;
  readonly drivers: readonly DriverModule[];
  /** Leaves configuration, queue and log behind. */
  readonly keep: boolean;
  /** Something a person should read. */
  tell(text: string): void;
  /** The gateway will not run; trying again cannot help. */
  hopeless(): void;
}

const WISHED_HTTP_PORT = 8080;
const SENSOR_EVERY_MS = 1000;
const LAST_STATUS_MS = 300;

/** Everything of the demo that runs: devices, sensor, gateway, upstream and the receiver there. */
export class Shop {
  readonly #options: ShopOptions;
  readonly #log: Logger = silentLogger;
  readonly #receiverStop = new AbortController();
  readonly upstream: Upstream;
  #folder = "";
  #httpPort = 0;
  #model: DemoModel | undefined;
  #pty: PtyPair | undefined;
  #simulators: Simulator[] = [];
  #sensor: Sensor | undefined;
  #gateway: GatewayChild | undefined;
  #receiving: Promise<void> | undefined;

  constructor(options: ShopOptions) {
    this.#options = options;
    this.upstream = new Upstream(this.#log);
  }

  get folder(): string {
    return this.#folder;
  }
  get httpUrl(): string {
    return `http://127.0.0.1:${this.#httpPort}`;
  }
  get gateway(): GatewayChild | undefined {
    return this.#gateway;
  }
  get sensorAcknowledged(): number {
    return this.#sensor?.count ?? 0;
  }

  /** @throws ConfigError from a simulated device; anything else is a machine without loopback or temporary space. */
  async start(): Promise<DemoModel> {
    const { io, drivers, tell } = this.#options;
    this.#folder = await mkdtemp(join(tmpdir(), "millrace-demo-"));
    await this.upstream.up();
    this.#pty = await openPtyPair();
    if (!this.#pty)
      tell("no pseudo-terminals here (neither perl nor socat): the demo goes on without the energy meter");
    const plc = await startSimulator(PRESS_DEVICE, drivers, this.#log);
    this.#simulators = [plc];
    if (this.#pty) this.#simulators.push(await startSimulator(meterDevice(this.#pty.right), drivers, this.#log));
    const model = new DemoModel(shownDevices(this.#pty !== undefined));
    this.#model = model;
    this.#receiving = this.#receive(model);

    const brokerPort = await freePort();
    this.#httpPort = await freePort(WISHED_HTTP_PORT);
    const config = join(this.#folder, "demo.yaml");
    const [host = "127.0.0.1", port] = splitAddress(plc.address);
    await writeFile(
      config,
      demoConfig({
        plc: { host, port: Number(port) },
        broker: brokerPort,
        upstream: this.upstream.port,
        http: this.#httpPort,
        ...(this.#pty === undefined ? {} : { meterPath: this.#pty.left }),
      }),
    );
    this.#gateway = new GatewayChild({
      execPath: io.execPath,
      program: io.argv1,
      config,
      logFile: join(this.#folder, "gateway.log"),
      env: io.env,
      onDeath: ({ pid, how, again }) => {
        tell(`gateway ${pid} died (${how})${again ? "; starting it again" : ""}`);
        if (!again) this.#options.hopeless();
      },
    });
    this.#gateway.start();
    this.#sensor = new Sensor({ port: brokerPort, topic: SENSOR_TOPIC, everyMs: SENSOR_EVERY_MS });
    this.#sensor.start();
    return model;
  }

  /** Asks the gateway how it is; it may be away. Never rejects. */
  async poll(signal: AbortSignal): Promise<void> {
    const json = await fetchJson(new URL("/status", this.httpUrl), signal).catch(() => undefined);
    const report = statusReport.safeParse(json);
    this.#model?.status(report.success ? report.data : undefined);
  }

  /** Ends the producers and the gateway; the receiver still hears its last status. Idempotent, never rejects. */
  async stopPlant(): Promise<void> {
    await this.#sensor?.stop();
    await this.#gateway?.stop();
    await Promise.all(this.#simulators.map((simulator) => simulator.stop()));
    this.#simulators = [];
    await this.#pty?.close();
    if (this.upstream.isUp) await new Promise((resolve) => setTimeout(resolve, LAST_STATUS_MS));
  }

  /** Ends the rest and removes the folder. Idempotent, never rejects. */
  async stop(): Promise<void> {
    await this.stopPlant();
    this.#receiverStop.abort();
    await this.#receiving;
    await this.upstream.stop();
    if (!this.#options.keep && this.#folder !== "") {
      await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 }).catch((error: unknown) => {
        this.#options.tell(`${this.#folder} could not be removed: ${messageOf(error)}`);
      });
    }
  }

  /** The far side's program: subscribes with a persistent session, so that an outage of the way to it loses nothing. */
  #receive(model: DemoModel): Promise<void> {
    const receiver = new Receiver({
      url: `mqtt://127.0.0.1:${this.upstream.port}`,
      topics: ["#"],
      clientId: "demo-receiver",
      onMessage: (topic, payload, properties, retained) => {
        model.message(topic, payload, properties, retained, { nowMs: Date.now(), sinceStartMs: performance.now() });
      },
    });
    return receiver.run(this.#receiverStop.signal, Number.POSITIVE_INFINITY).catch((error: unknown) => {
      this.#options.tell(`the receiver cannot work: ${messageOf(error)}`);
    });
  }
}

function splitAddress(address: string): [string, string] {
  const colon = address.lastIndexOf(":");
  return [address.slice(0, colon), address.slice(colon + 1)];
}
