import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../gateway/config/load.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { Gateway } from "../../gateway/gateway.ts";
import { SystemClock } from "../../gateway/system/clock.ts";
import { Progress } from "../../gateway/system/progress.ts";
import { type MetricDescription, PromMetrics } from "../../gateway/system/prom-metrics.ts";
import { SdNotify } from "../../gateway/system/sd-notify.ts";
import { root } from "../support/processes.ts";

/** Every kind of part that counts something, with nobody at the other end. */
const LINES = `telemetry: { otlp: { endpoint: http://127.0.0.1:9 } }
links:
  - name: plc
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1, port: 9 }
    devices: [ { name: press, unit: 1, tags: [ { name: force, address: "holding:0", type: uint16, every: 1s } ] } ]
  - name: scale
    driver: serial
    transport: { path: /dev/no-such-port, baud: 9600 }
    framing: { type: delimiter, delimiter: "\\r\\n" }
    devices:
      - name: scale
        parse: { pattern: "^(?<weight>[0-9.]+)$" }
        tags: [ { name: weight, field: weight, type: float64 } ]
uplinks:
  - { name: cloud, type: mqtt, url: "mqtt://127.0.0.1:9", accept: [ { from: "up/cmd/#", to: "cmd/#" } ] }
`;
const BROKERS = ["{ listeners: [ { port: 0 } ] }", '{ external: "mqtt://127.0.0.1:9" }'];

/** What running gateways have in their registry, with either kind of local broker. */
export async function allMetrics(): Promise<MetricDescription[]> {
  const metrics = new PromMetrics();
  metrics.collectProcess();
  new SdNotify({ env: {}, log: silentLogger, metrics }).close();
  new Progress({ workers: () => [], limitMs: 1_000, log: silentLogger, metrics }).look();
  for (const broker of BROKERS) {
    const folder = await mkdtemp(join(tmpdir(), "millrace-metrics-"));
    const text = `gateway: { id: gw, dataDir: ./data }\nqueue: { minFree: 1MiB }\nhttp: { port: 0 }\nbroker: ${broker}\n${LINES}`;
    await writeFile(join(folder, "millrace.yaml"), text);
    const gateway = new Gateway({
      config: await loadConfig("millrace.yaml", { cwd: folder, env: {} }),
      clock: new SystemClock(),
      log: silentLogger,
      metrics,
      metricsText: () => metrics.text(),
      env: {},
    });
    await gateway.start(new AbortController().signal);
    await gateway.stop();
    await rm(folder, { recursive: true, force: true });
  }
  return metrics.describe();
}

/** docs/metrics.md. @throws Error naming a metric of the code that no gateway above has. */
export async function metricsReference(note: string): Promise<string> {
  const all = await allMetrics();
  const known = new Set(all.map(({ name }) => name));
  const missing = [...namesInCode()].filter((name) => !known.has(name));
  if (missing.length > 0) throw new Error(`in the code, and not in the registry of a gateway: ${missing.join(", ")}`);
  const rows = (wanted: (name: string) => boolean) =>
    all
      .filter(({ name }) => wanted(name))
      .map(({ name, type, labels, help }) => {
        const shown = labels.map((label) => `\`${label}\``).join(", ");
        return `| \`${name}\` | ${type} | ${unitOf(name, type)} | ${shown} | ${help.replace(/\.$/, "").replaceAll("|", "\\|")} |`;
      })
      .join("\n");
  const head = "| name | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |";
  return [
    "# Metrics\n",
    note,
    "`GET /metrics` gives all of them in Prometheus' text format. How to scrape them, the dashboard and the alerts that are made of them",
    "are in [monitoring](monitoring.md). Labels are names of the configuration or words of a short list, never a topic or a client id. A",
    "histogram has rows `…_bucket`, `…_sum` and `…_count`. Figures that are not known yet are absent; those without an end are `+Inf`.\n",
    "## Of the gateway\n",
    `${head}\n${rows((name) => name.startsWith("millrace_"))}\n`,
    "## Of the process\n",
    `${head}\n${rows((name) => !name.startsWith("millrace_"))}\n`,
  ].join("\n");
}

/** By the suffix, as Prometheus wants it. */
function unitOf(name: string, type: string): string {
  const bare = name.replace(/_total$/, "");
  if (
    bare.endsWith("_timestamp_seconds") ||
    name === "millrace_clock_time_seconds" ||
    name === "process_start_time_seconds"
  )
    return "Unix seconds";
  if (bare.endsWith("_per_second") || bare.endsWith("_per_day") || bare.endsWith("_per_record")) {
    const [, base = "", per = ""] = /_([a-z]+)_per_([a-z]+)$/.exec(bare) ?? [];
    return `${base} per ${per}`;
  }
  if (bare.endsWith("_seconds") || /_seconds_to_[a-z]+$/.test(bare)) return "seconds";
  if (bare.endsWith("_bytes")) return "bytes";
  if (bare.endsWith("_ratio")) return "ratio";
  if (bare.endsWith("_info")) return "1";
  return type === "counter" ? "count" : "number";
}

function* namesInCode(): Generator<string> {
  for (const folder of ["gateway", "drivers"])
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true, recursive: true })) {
      if (!entry.isFile() || !entry.name.endsWith(".ts")) continue;
      const text = readFileSync(join(entry.parentPath, entry.name), "utf8");
      for (const [, name = ""] of text.matchAll(/\.(?:counter|gauge|histogram)\(\s*"(millrace_\w+)"/g)) yield name;
    }
}
