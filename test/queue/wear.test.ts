import { describe, expect, it } from "vitest";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { Row } from "../../gateway/queue/row.ts";
import { Totals } from "../../gateway/queue/totals.ts";
import { Wear } from "../../gateway/queue/wear.ts";

function wearOf(endurance: number) {
  const totals = new Totals();
  const row = (stream: "events" | "telemetry") => new Row(stream, "0".repeat(32), 1, 1);
  const rows = { events: row("events"), telemetry: row("telemetry") };
  return { totals, rows, wear: new Wear({ totals, rows, endurance, metrics: noMetrics }) };
}

describe("the estimate of the card's life", () => {
  it("counts 8.5 kB for each fsync and extends the present rate to a day", () => {
    const { totals, rows, wear } = wearOf(10e12);
    // For an hour, each second: one fsync, ten records in 1,500 bytes.
    for (let second = 0; second <= 3600; second++) {
      totals.wrote(1500, 1);
      rows.telemetry.appended += 10;
      wear.look(second * 1000);
    }
    const { bytesPerRecord, deviceBytesPerDay, cardDays, fsyncs } = wear.look(3_600_000);
    expect(bytesPerRecord).toBe(150);
    expect(fsyncs).toBe(3601);
    expect((deviceBytesPerDay ?? 0) / (10_000 * 86_400)).toBeCloseTo(1, 1);
    expect(cardDays).toBeCloseTo(10e12 / (deviceBytesPerDay ?? 1), 6);
  });

  it("says nothing in the first minute, and no life where nothing is written", () => {
    const { totals, wear } = wearOf(10e12);
    expect(wear.look(0)).toEqual({ records: 0, bytesWritten: 0, fsyncs: 0, endurance: 10e12 });
    totals.wrote(1_000_000, 5);
    expect(wear.look(59_000)).not.toHaveProperty("deviceBytesPerDay");
    expect(wear.look(60_000).cardDays).toBeGreaterThan(0);
    expect(wear.look(60_000 + 100 * 600_000)).not.toHaveProperty("cardDays");
  });
});
