import { describe, expect, it } from "vitest";
import { newSpanId, newTraceId, otlpBody, type Span } from "../../gateway/tracing/span.ts";
import { pythonPeer } from "./peers/pip.ts";

/** Traces, read by the definitions that OpenTelemetry publishes. */
const peer = pythonPeer("otlp.py", {
  about: "OpenTelemetry's protocol",
  name: "opentelemetry-proto-1.38.0",
  packages: ["opentelemetry-proto==1.38.0", "protobuf==6.33.0"],
});
const origin = { gatewayId: "gw", version: "1.2.3" };

describe.skipIf(peer === undefined)("OTLP", () => {
  it("bodies are what the protocol's own definitions say, and a wrong one is found", () => {
    const traceId = newTraceId();
    const rootId = newSpanId();
    const span = (over: Partial<Span>): Span => ({
      traceId,
      spanId: newSpanId(),
      parentId: rootId,
      name: "ack",
      startMs: 1_800_000_000_000.125,
      endMs: 1_800_000_000_001.375,
      attributes: { "millrace.uplink": "clöud", whole: -3, part: 0.25, yes: true },
      ...over,
    });
    const { parentId: _, ...root } = span({ spanId: rootId, name: "sample", attributes: {} });
    const good = otlpBody([root, span({}), span({ name: "append", error: "the disk is full" })], origin).toString();
    const wrong = good.replace('"startTimeUnixNano"', '"startTimeUnixNanos"');
    expect(peer?.([], `${good}\n${wrong}\n`)).toEqual([
      "sample 16 8 0 1250000 0 0",
      "ack 16 8 8 1250000 0 4",
      "append 16 8 8 1250000 2 4",
      expect.stringMatching(/^fault: .*startTimeUnixNanos/),
    ]);
  });
});
