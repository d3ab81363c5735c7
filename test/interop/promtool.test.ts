import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { z } from "zod";
import { alertGroups } from "../docs/alert-reference.ts";
import { dashboardFile, expressionsOf, filledIn, readDashboard } from "../monitoring/dashboard.ts";
import { documented } from "../monitoring/metric-names.ts";
import { CountingPlc } from "../support/counting-plc.ts";
import {
  freePort,
  type Mosquitto,
  mosquitto,
  needProgram,
  Process,
  root,
  scratch,
  startGateway,
  until,
} from "../support/processes.ts";
import { pythonPeer } from "./peers/pip.ts";

/** What lies in monitoring/, read by those it is for: promtool, Prometheus and Grafana's SDK, with a gateway that runs. */
const promtool = needProgram("promtool", "prometheus");
const prometheus = needProgram("prometheus", "prometheus");
const home = scratch("promtool");
const folder = join(home.path, "monitoring");
afterAll(home.remove);

function tool(args: readonly string[], input?: string): { readonly code: number | null; readonly said: string } {
  const { status, stdout, stderr } = spawnSync(promtool, args, { cwd: folder, encoding: "utf8", input });
  return { code: status, said: `${stdout}${stderr}` };
}

beforeAll(() => cpSync(join(root, "monitoring"), folder, { recursive: true }));

describe("the alerts", () => {
  it("are rules that promtool takes", () => {
    const { code, said } = tool(["check", "rules", "alerts.yml"]);
    expect(said).toContain(`${alertGroups().flatMap(({ rules }) => rules).length} rules found`);
    expect(code).toBe(0);
  });

  it("fire and are silent as alerts.test.yml says", () => {
    expect(tool(["test", "rules", "alerts.test.yml"])).toMatchObject({ code: 0 });
  });

  it("each has a case that fails where it never fires, and one that fails where it always does", () => {
    const altered = join(home.path, "altered");
    mkdirSync(altered, { recursive: true });
    const survivors: string[] = [];
    const all: unknown = parse(readFileSync(join(folder, "alerts.test.yml"), "utf8"));
    const { tests, ...rest } = z.looseObject({ tests: z.array(z.looseObject({ name: z.string() })) }).parse(all);
    for (const rule of alertGroups().flatMap(({ rules }) => rules)) {
      // Alone, with its own case: it takes a fraction of the time.
      const own = { ...rest, tests: tests.filter(({ name }) => name === rule.alert) };
      writeFileSync(join(altered, "alerts.test.yml"), stringify(own));
      const passes = (expr: string) => {
        writeFileSync(
          join(altered, "alerts.yml"),
          stringify({ groups: [{ name: "one", rules: [{ ...rule, expr }] }] }),
        );
        return spawnSync(promtool, ["test", "rules", "alerts.test.yml"], { cwd: altered }).status === 0;
      };
      expect(passes(rule.expr), rule.alert).toBe(true);
      for (const instead of [`(${rule.expr}) and on () vector(0) > 1`, alwaysOf(rule.expr)])
        if (passes(instead)) survivors.push(`${rule.alert}: ${instead}`);
    }
    expect(survivors).toEqual([]);
  });
});

/** The same series, whatever their values. */
function alwaysOf(expr: string): string {
  const compared = expr.replaceAll(/ (?:>=|<=|==|[<>]) (?:\d[\d.e]*(?: \* 86400)?)/g, " > -Inf");
  if (compared === expr) throw new Error(`nothing is compared in ${expr}`);
  return compared;
}

describe("the dashboard", () => {
  it("asks in PromQL", () => {
    const dashboard = readDashboard();
    const rules = expressionsOf(dashboard).map(({ expr }, at) => ({ record: `panel:${at}`, expr: filledIn(expr) }));
    writeFileSync(join(folder, "panels.yml"), stringify({ groups: [{ name: "panels", rules }] }));
    const { code, said } = tool(["check", "rules", "panels.yml"]);
    expect(said).toContain(`${rules.length} rules found`);
    expect(code).toBe(0);
    expect(rules.length).toBeGreaterThan(40);
  });

  // Of Grafana Labs, made from Grafana's schemas; the last for the model of Grafana 10.
  const sdk = pythonPeer("grafana-sdk.py", {
    about: "Grafana's SDK",
    name: "grafana-foundation-sdk-10.1.0",
    packages: ["grafana-foundation-sdk==1769699998!10.1.0"],
  });
  const unknown = (file: string) => sdk?.([file]).map((line) => String(JSON.parse(line)));
  it.skipIf(sdk === undefined)("is one that Grafana's own SDK reads whole", () => {
    expect(unknown(dashboardFile)).toEqual([]);
    const wrong = join(home.path, "wrong.json");
    writeFileSync(wrong, JSON.stringify({ ...readDashboard(), refreshh: "30s" }));
    expect(unknown(wrong)).toEqual(["/refreshh is not known"]);
  });
});

describe("a gateway that runs", () => {
  const plc = new CountingPlc();
  let broker: Mosquitto;
  let gateway: Process;
  let port = 0;
  const metrics = async () => await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();

  beforeAll(async () => {
    broker = await mosquitto(join(home.path, "mosquitto"));
    port = await freePort();
    const file = join(home.path, "millrace.yaml");
    writeFileSync(file, configuration(join(home.path, "data"), port, await plc.listen(), broker.port));
    gateway = await startGateway(file);
    await until("records are acknowledged", async () => /result="acked"\} [1-9]/.test(await metrics()), 20_000);
  });
  afterAll(async () => {
    await gateway.stop();
    await broker.stop();
    await plc.stop();
  });

  it("has metrics that promtool finds nothing to say about, and a bad one would be found", async () => {
    const text = await metrics();
    expect(tool(["check", "metrics"], text)).toEqual({ code: 0, said: "" });
    expect(tool(["check", "metrics"], `${text}# HELP a_days b\n# TYPE a_days gauge\na_days 1\n`)).toMatchObject({
      code: 3,
      said: expect.stringContaining("a_days"),
    });
  });

  it("has no metric that the reference lacks", async () => {
    const known = documented();
    const names = [...(await metrics()).matchAll(/^# TYPE (\w+) /gm)].map(([, name = ""]) => name);
    expect(names.length).toBeGreaterThan(90);
    expect(names.filter((name) => !known.has(name))).toEqual([]);
  });

  it("is scraped by the example's Prometheus, which then answers what the dashboard asks", async () => {
    const own = await freePort();
    const example = parse(readFileSync(join(folder, "prometheus.yml"), "utf8"));
    const scrapes = z.object({ scrape_configs: z.array(z.looseObject({ job_name: z.string() })) }).parse(example);
    const local = scrapes.scrape_configs.find(({ job_name }) => job_name === "millrace-local");
    writeFileSync(join(folder, "millrace.token"), "token\n");
    cpSync(certificate(), join(folder, "plant-ca.pem"));
    expect(tool(["check", "config", "prometheus.yml"])).toMatchObject({ code: 0 });
    const config = {
      ...example,
      global: { scrape_interval: "1s", evaluation_interval: "1s" },
      scrape_configs: [{ ...local, static_configs: [{ targets: [`127.0.0.1:${port}`] }] }],
    };
    writeFileSync(join(folder, "local.yml"), stringify(config));
    const args = [
      `--config.file=${join(folder, "local.yml")}`,
      `--storage.tsdb.path=${join(home.path, "tsdb")}`,
      `--web.listen-address=127.0.0.1:${own}`,
    ];
    const server = new Process(prometheus, args);
    try {
      await until("Prometheus is ready", () => isReady(own), 30_000);
      await until(
        "two scrapes",
        async () => value(await ask(own, 'count_over_time(up{job="millrace"}[1m])')) >= 3,
        60_000,
      );
      expect(value(await ask(own, 'up{job="millrace"}'))).toBe(1);
      expect(value(await ask(own, 'millrace_link_state{state="connected"}'))).toBe(1);
      const silent: string[] = [];
      for (const { where, expr } of expressionsOf(readDashboard()))
        if ((await ask(own, filledIn(expr))).length === 0) silent.push(where);
      expect(silent.filter((where) => !SILENT.has(where))).toEqual([]);
      const rules = z
        .object({ data: z.object({ groups: z.array(z.object({ rules: z.array(z.object({ health: z.string() })) })) }) })
        .parse(await (await fetch(`http://127.0.0.1:${own}/api/v1/rules`)).json());
      const health = rules.data.groups.flatMap((group) => group.rules.map((rule) => rule.health));
      expect(health.length).toBe(alertGroups().flatMap((group) => group.rules).length);
      expect(health.filter((one) => one === "err")).toEqual([]);
    } finally {
      await server.stop();
    }
  });
});

/** What may have no figure on a gateway that is well, has no TLS and has run for seconds. */
const SILENT: ReadonlySet<string> = new Set([
  "Alerts, A",
  "Captured, A",
  "Card lasts, A",
  "Certificates end in, A",
  "Lost records, A",
  "Refused, A",
  "Refused, B",
  "Refused, C",
  "Retries and dead letters, A",
  "Without an answer, A",
  "Without an answer, B",
  "annotation Starts",
]);

type Vector = readonly { readonly value: readonly [number, string] }[];

async function isReady(port: number): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${port}/-/ready`).catch(() => undefined);
  return response?.status === 200;
}

async function ask(port: number, query: string): Promise<Vector> {
  const response = await fetch(`http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(query)}`);
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${query}: ${text}`);
  return z
    .object({ data: z.object({ result: z.array(z.object({ value: z.tuple([z.number(), z.string()]) })) }) })
    .parse(JSON.parse(text)).data.result;
}

function value(vector: Vector): number {
  return Number(vector[0]?.value[1] ?? Number.NaN);
}

/** Of an authority of its own. */
function certificate(): string {
  const openssl = needProgram("openssl", "openssl");
  const file = join(home.path, "ca.pem");
  const key = join(home.path, "ca.key");
  execFileSync(
    openssl,
    ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=plant", "-days", "1", "-keyout", key, "-out", file],
    { stdio: "pipe" },
  );
  return file;
}

const configuration = (
  dataDir: string,
  port: number,
  plc: number,
  upstream: number,
) => `gateway: { id: gw, dataDir: ${dataDir} }
queue: { minFree: 16MiB }
http: { port: ${port} }
broker: { listeners: [ { port: 0 } ] }
links:
  - name: line
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1, port: ${plc} }
    devices:
      - name: press
        unit: 1
        tags: [ { name: count, address: "holding:0", type: uint16, every: 100ms, deadband: 0 } ]
uplinks:
  - { name: cloud, type: mqtt, url: "mqtt://127.0.0.1:${upstream}", order: live-first }
`;
