import { Histogram, Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import { PromMetrics } from "../../gateway/system/prom-metrics.ts";

describe("PromMetrics", () => {
  it("writes counters, gauges and histograms with labels", async () => {
    const metrics = new PromMetrics();
    const requests = metrics.counter("millrace_requests_total", "Requests.", ["link"]);
    requests.inc({ link: "plc" });
    requests.inc({ link: "plc" }, 4);
    metrics.counter("millrace_plain_total", "Plain.").inc();
    metrics.gauge("millrace_depth", "Depth.", ["uplink"]).set(7, { uplink: "cloud" });
    metrics.histogram("millrace_reply_seconds", "Reply.", [0.1, 1]).observe(0.5);
    const text = await metrics.text();
    expect(text).toContain('millrace_requests_total{link="plc"} 5\n');
    expect(text).toContain("millrace_plain_total 1\n");
    expect(text).toContain('millrace_depth{uplink="cloud"} 7\n');
    expect(text).toContain('millrace_reply_seconds_bucket{le="0.1"} 0\n');
    expect(text).toContain('millrace_reply_seconds_bucket{le="1"} 1\n');
    expect(text).toContain("# HELP millrace_depth Depth.\n# TYPE millrace_depth gauge\n");
  });

  it("gives the same instrument for a name that is registered again", async () => {
    const metrics = new PromMetrics();
    metrics.counter("millrace_a_total", "A.").inc();
    metrics.counter("millrace_a_total", "A.").inc();
    metrics.gauge("millrace_b", "B.").set(1);
    metrics.gauge("millrace_b", "B.").set(2);
    metrics.histogram("millrace_c", "C.", [1]).observe(1);
    metrics.histogram("millrace_c", "C.", [1]).observe(1);
    const text = await metrics.text();
    expect(text).toContain("millrace_a_total 2\n");
    expect(text).toContain("millrace_b 2\n");
    expect(text).toContain("millrace_c_count 2\n");
  });

  it("exports histograms as prom-client does", async () => {
    const metrics = new PromMetrics();
    const buckets = [0.01, 0.1, 1];
    const ours = metrics.histogram("millrace_reply_seconds", "Reply.", buckets, ["link", "device"]);
    const registry = new Registry();
    const labelNames = ["link", "device"];
    const theirs = new Histogram({
      name: "millrace_reply_seconds",
      help: "Reply.",
      buckets,
      labelNames,
      registers: [registry],
    });
    const labels = { link: 'a"b', device: "press" };
    const row = ours.row?.(labels);
    for (const value of [0, 0.01, 0.010_001, 0.5, 1, 1.5, 100]) {
      row?.observe(value);
      theirs.observe(labels, value);
    }
    ours.observe(0.2, { link: "b", device: "press" });
    theirs.observe({ link: "b", device: "press" }, 0.2);
    expect(await metrics.text()).toBe(await registry.metrics());
  });

  it("counts into a row what it counts by labels, however often the row is asked for and looked at", async () => {
    const metrics = new PromMetrics();
    const counter = metrics.counter("millrace_a_total", "A.", ["link"]);
    counter.row?.({ link: "b" }).inc();
    counter.inc({ link: "b" }, 2);
    await metrics.text();
    counter.row?.({ link: "b" }).inc(0.5);
    expect(await metrics.text()).toContain('millrace_a_total{link="b"} 3.5\n');
    expect(await metrics.text()).toContain('millrace_a_total{link="b"} 3.5\n');
  });

  it("has a registry of its own", async () => {
    new PromMetrics().counter("millrace_a_total", "A.").inc();
    expect(await new PromMetrics().text()).not.toContain("millrace_a_total");
  });

  it("adds the process: memory, event loop lag, CPU", async () => {
    const metrics = new PromMetrics();
    metrics.collectProcess();
    const text = await metrics.text();
    for (const name of [
      "process_resident_memory_bytes",
      "nodejs_eventloop_lag_p99_seconds",
      "process_cpu_seconds_total",
    ]) {
      expect(text).toContain(`\n${name} `);
    }
  });
});
