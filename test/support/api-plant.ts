import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { loadConfig } from "../../gateway/config/load.ts";
import { Gateway } from "../../gateway/gateway.ts";
import { SystemClock } from "../../gateway/system/clock.ts";
import { LogLines } from "../../gateway/system/log-lines.ts";
import { PromMetrics } from "../../gateway/system/prom-metrics.ts";
import { Client } from "./api-client.ts";
import { CountingPlc } from "./counting-plc.ts";

export interface Plant {
  readonly gateway: Gateway;
  readonly folder: string;
  readonly port: number;
  readonly plc: CountingPlc;
  readonly setupToken: string;
  /** The log as it leaves the process. */
  readonly log: () => string;
  readonly metrics: () => Promise<string>;
  readonly client: () => Client;
  stop(): Promise<void>;
}

/** A gateway with a PLC, an uplink that nobody answers, and an API, all in this process. */
export async function startPlant({
  topic = "plant/press-1",
  http = "{ port: 0 }",
  more = "",
  env = {},
}: {
  topic?: string;
  /** The section, and whatever else is to be in the configuration. */
  http?: string;
  more?: string;
  env?: Readonly<Record<string, string>>;
} = {}): Promise<Plant> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-http-"));
  const plc = new CountingPlc();
  const plcPort = await plc.listen();
  await writeFile(
    join(folder, "millrace.yaml"),
    `gateway: { id: gw-1, dataDir: ./data }
broker: { listeners: [ { type: tcp, host: 127.0.0.1, port: 0 } ] }
queue: { maxBytes: 256MiB, minFree: 1MiB }
links:
  - name: plc-1
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1, port: ${plcPort} }
    devices:
      - name: press-1
        unit: 1
        topic: ${JSON.stringify(topic)}
        tags:
          - { name: force, address: "holding:0", type: uint16, every: 100ms, unit: "<img src=x onerror=alert(1)>" }
          - { name: setpoint, address: "holding:10", type: uint16, every: 100ms, writable: { min: 0, max: 300 } }
          - { name: total, address: "holding:20", type: uint64, every: 100ms }
uplinks:
  - { name: cloud, type: mqtt, url: "mqtt://127.0.0.1:9", username: gw, password: { env: MQTT_PASSWORD } }
http: ${http}
${more}`,
  );
  const logs = new LogLines();
  let text = "";
  const write = (line: string) => {
    text += line;
    logs.write(line);
  };
  const metrics = new PromMetrics();
  const log = pino({ level: "debug", base: null, formatters: { level: (label) => ({ level: label }) } }, { write });
  const gateway = new Gateway({
    config: await loadConfig("millrace.yaml", { cwd: folder, env }),
    clock: new SystemClock(),
    log,
    metrics,
    metricsText: () => metrics.text(),
    env,
    logs,
  });
  await gateway.start(new AbortController().signal);
  const port = Number(new URL(String(gateway.summary()["http"])).port);
  return {
    gateway,
    folder,
    port,
    plc,
    setupToken: /"setupToken":"([^"]+)"/.exec(text)?.[1] ?? "",
    log: () => text,
    metrics: () => metrics.text(),
    client: () => new Client(port),
    async stop() {
      await gateway.stop();
      await plc.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
