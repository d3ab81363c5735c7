import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { LocalBroker } from "../../gateway/broker/local-broker.ts";
import { loadConfig } from "../../gateway/config/load.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { brokerOptions } from "../../gateway/core/options/broker.ts";
import { Gateway } from "../../gateway/gateway.ts";
import { SystemClock } from "../../gateway/system/clock.ts";
import { PromMetrics } from "../../gateway/system/prom-metrics.ts";
import { clock, FakeQueue } from "../broker/support.ts";
import { CountingPlc } from "../support/counting-plc.ts";
import { attribute, startCollector } from "./collector.ts";

it.each(["", "batch: { count: 3, linger: 20ms }, "])(
  "a whole gateway gives traces of scans from the PLC to the acknowledgement upstream (%s)",
  async (batch) => {
    const collector = await startCollector();
    const plc = new CountingPlc();
    const upstream = new LocalBroker({
      options: brokerOptions.parse({ listeners: [{ port: 0 }] }),
      capture: [],
      queue: new FakeQueue(),
      gatewayId: "upstream",
      clock,
      log: silentLogger,
      metrics: noMetrics,
    });
    await upstream.start();
    const folder = await mkdtemp(join(tmpdir(), "millrace-traces-"));
    const text = `gateway: { id: gw, dataDir: ./data }
queue: { minFree: 1MiB, sync: 100ms }
http: { port: 0 }
broker: { listeners: [ { port: 0 } ] }
telemetry: { otlp: { endpoint: "${collector.endpoint}", sample: 1 } }
links:
  - name: line
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1, port: ${await plc.listen()} }
    devices:
      - name: press
        unit: 1
        tags:
          - { name: count, address: "holding:0", type: uint16, every: 100ms }
          - { name: state, address: "holding:1", type: uint16, every: 100ms, stream: events }
uplinks: [ { name: cloud, type: mqtt, ${batch}url: "mqtt://127.0.0.1:${upstream.addresses()[0]?.port}" } ]
`;
    await writeFile(join(folder, "millrace.yaml"), text);
    const metrics = new PromMetrics();
    const gateway = new Gateway({
      config: await loadConfig("millrace.yaml", { cwd: folder, env: {} }),
      clock: new SystemClock(),
      log: silentLogger,
      metrics,
      metricsText: () => metrics.text(),
      env: {},
    });
    try {
      await gateway.start(new AbortController().signal);
      const complete = () =>
        (["telemetry", "events"] as const).map((stream) => {
          const roots = collector.spans.filter(
            (span) => span.name === "sample" && attribute(span, "millrace.stream") === stream,
          );
          return roots.find(({ traceId }) => {
            const names = collector.spans.filter((span) => span.traceId === traceId).map(({ name }) => name);
            return ["poll", "append", "fsync", "send", "ack"].every((name) => names.includes(name));
          });
        });
      await vi.waitFor(() => expect(complete()).not.toContain(undefined), { timeout: 15_000, interval: 50 });
      expect(collector.faults).toEqual([]);
      for (const root of complete()) {
        const spans = collector.spans.filter(({ traceId }) => traceId === root?.traceId);
        const at = (name: string) => spans.find((span) => span.name === name);
        const order = ["poll", "append", "send", "ack"].map((name) => BigInt(at(name)?.startTimeUnixNano ?? 0));
        expect(order).toEqual([...order].sort((a, b) => (a < b ? -1 : 1)));
        expect(at("ack")?.status).toEqual({});
        const ack = at("ack");
        expect(ack && attribute(ack, "millrace.uplink")).toBe("cloud");
        expect(root && attribute(root, "millrace.device")).toBe("press");
      }
    } finally {
      await gateway.stop();
      await upstream.stop();
      await plc.stop();
      await collector.stop();
      await rm(folder, { recursive: true, force: true });
    }
  },
);
