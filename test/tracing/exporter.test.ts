import { createServer } from "node:net";
import { afterEach, expect, it, vi } from "vitest";
import { PromMetrics } from "../../gateway/system/prom-metrics.ts";
import { OtlpExporter } from "../../gateway/tracing/exporter.ts";
import type { Span } from "../../gateway/tracing/span.ts";
import { type LogLine, recordingLogger } from "../broker/support.ts";
import { attribute, startCollector } from "./collector.ts";

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

const span = (name: string, over: Partial<Span> = {}): Span => ({
  traceId: "0123456789abcdef0123456789abcdef",
  spanId: "0123456789abcdef",
  name,
  startMs: 1_800_000_000_000.25,
  endMs: 1_800_000_000_001.5,
  attributes: { text: "ü", whole: 7, part: 0.5, yes: true },
  ...over,
});

function exporter(endpoint: string, over: { everyMs?: number; timeoutMs?: number } = {}) {
  const metrics = new PromMetrics();
  const lines: LogLine[] = [];
  const made = new OtlpExporter({
    endpoint,
    origin: { gatewayId: "gw", version: "1.2.3" },
    log: recordingLogger(lines),
    metrics,
    everyMs: 10,
    ...over,
  });
  made.start();
  cleanUp.push(() => made.stop());
  const count = async (name: string) =>
    Number(new RegExp(`^millrace_trace_${name} (\\d+)$`, "m").exec(await metrics.text())?.[1]);
  return { exporter: made, lines, count };
}

it("sends spans as OTLP wants them, to the path below the endpoint", async () => {
  const collector = await startCollector();
  cleanUp.push(() => collector.stop());
  const { exporter: to, count } = exporter(`${collector.endpoint}/`);
  to.add(span("sample"));
  to.add(span("append", { parentId: "fedcba9876543210", error: "the disk is full", endMs: 0 }));
  await vi.waitFor(() => expect(collector.spans).toHaveLength(2));
  expect(collector.faults).toEqual([]);
  const [first, second] = collector.spans;
  expect(first).toMatchObject({ name: "sample", startTimeUnixNano: "1800000000000250000", status: {} });
  expect(first?.endTimeUnixNano).toBe("1800000000001500000");
  expect(first && ["text", "whole", "part", "yes"].map((key) => attribute(first, key))).toEqual(["ü", "7", 0.5, true]);
  // A clock that was stepped back must not make a span that ends before it begins.
  expect(second).toMatchObject({ parentSpanId: "fedcba9876543210", endTimeUnixNano: first?.startTimeUnixNano });
  expect(second?.status).toEqual({ code: 2, message: "the disk is full" });
  expect(JSON.parse(collector.bodies[0] ?? "").resourceSpans[0].resource.attributes).toContainEqual({
    key: "service.instance.id",
    value: { stringValue: "gw" },
  });
  await vi.waitFor(async () => expect(await count('spans_total{result="sent"}')).toBe(2));
});

it("drops and counts what is not taken, says so once, and when it is taken again", async () => {
  const collector = await startCollector();
  cleanUp.push(() => collector.stop());
  collector.status = 503;
  const { exporter: to, lines, count } = exporter(collector.endpoint);
  for (const wanted of [1, 2, 3]) {
    to.add(span("sample"));
    await vi.waitFor(async () => expect(await count("request_errors_total")).toBe(wanted));
  }
  await vi.waitFor(async () => expect(await count('spans_total{result="dropped"}')).toBe(3));
  expect(lines.map(({ level, message }) => [level, message])).toEqual([["warn", "the collector does not take traces"]]);
  expect(lines[0]?.fields).toMatchObject({ reason: expect.stringContaining("503"), endpoint: collector.endpoint });
  collector.status = 200;
  to.add(span("sample"));
  await vi.waitFor(() => expect(collector.spans).toHaveLength(1));
  await vi.waitFor(() =>
    expect(lines.at(-1)).toMatchObject({ level: "info", message: "the collector takes traces again" }),
  );
});

it("keeps no more than it may while a collector is silent, and stops within its time", async () => {
  const sockets = new Set<{ destroy(): void }>();
  const server = createServer((socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanUp.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  const { exporter: to, count } = exporter(
    `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}`,
  );
  to.add(span("sample"));
  await vi.waitFor(() => expect(sockets.size).toBe(1));
  for (let n = 0; n < 3_000; n++) to.add(span("sample"));
  expect(await count('spans_total{result="dropped"}')).toBe(3_000 - 2_048);
  await to.stop();
  expect(await count('spans_total{result="dropped"}')).toBe(3_001);
});

it("names why nobody listens", async () => {
  const collector = await startCollector();
  await collector.stop();
  const { exporter: to, lines } = exporter(collector.endpoint);
  to.add(span("sample"));
  await vi.waitFor(() => expect(lines).toHaveLength(1));
  expect(lines[0]?.fields).toMatchObject({ reason: expect.stringContaining("ECONNREFUSED") });
});
