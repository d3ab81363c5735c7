import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { alertGroups } from "../docs/alert-reference.ts";
import { root } from "../support/processes.ts";
import { expressionsOf, filledIn, overlaps, readDashboard } from "./dashboard.ts";
import { documented, unknownIn } from "./metric-names.ts";

const alerts = alertGroups().flatMap(({ rules }) => rules);

describe("the dashboard", () => {
  const dashboard = readDashboard();

  it("is one that Grafana reads, with ids and places of their own", () => {
    const ids = dashboard.panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(overlaps(dashboard)).toEqual([]);
    for (const panel of dashboard.panels) {
      if (panel.type === "row") continue;
      const refs = panel.targets.map(({ refId }) => refId);
      expect(new Set(refs).size, panel.title).toBe(refs.length);
    }
    const rows = dashboard.panels.filter(({ type }) => type === "row").map(({ title }) => title);
    expect(rows).toEqual(["Overview", "Links", "Queue", "Uplinks", "Local broker", "Process"]);
  });

  it("asks only for metrics and labels that there are, and for the gateways that are chosen", () => {
    const known = documented();
    const faults = expressionsOf(dashboard).flatMap(({ where, expr }) => [
      ...unknownIn(filledIn(expr), known).map((fault) => `${where}: ${fault}`),
      ...(expr.includes("ALERTS") || expr.includes("$instance") ? [] : [`${where}: not of the chosen gateways`]),
    ]);
    expect(faults).toEqual([]);
  });

  it("shows labels that its expressions leave", () => {
    const faults = dashboard.panels.flatMap((panel) =>
      panel.type === "row"
        ? []
        : panel.targets.flatMap(({ expr, legendFormat }) => {
            const kept = /\bby \(([^)]*)\)/.exec(expr)?.[1]?.split(", ");
            const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = ""]) => label);
            return kept ? shown.filter((label) => !kept.includes(label)).map((one) => `${panel.title}: ${one}`) : [];
          }),
    );
    expect(faults).toEqual([]);
  });

  it("faults are found: an overlap, a key Grafana does not know, a metric there is not", () => {
    const [first, second, ...rest] = dashboard.panels;
    if (!first || !second) throw new Error("no panels");
    const moved = { ...second, gridPos: first.gridPos };
    expect(overlaps({ ...dashboard, panels: [first, moved, ...rest] })).toEqual([`${first.title} and ${second.title}`]);
    expect(() => readDashboard({ ...dashboard, pannels: [] })).toThrow("pannels");
    expect(unknownIn("rate(millrace_no_such_total[5m])")).toContain("there is no metric millrace_no_such_total");
    expect(unknownIn('millrace_link_state{uplink="x"}')).toEqual(["millrace_link_state has no label uplink"]);
    expect(unknownIn("sum by (device) (millrace_link_busy_ratio)")).toEqual(["no metric of it has the label device"]);
    expect(unknownIn("millrace_reply_seconds")).toContain("there is no metric millrace_reply_seconds");
    expect(unknownIn("vector(1)")).toEqual(["it asks for no metric at all"]);
  });
});

describe("the alerts", () => {
  it("have names of their own, ask for what there is, and lead to their place in the docs", () => {
    expect(alerts.length).toBeGreaterThan(20);
    expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length);
    const known = documented();
    expect(alerts.flatMap(({ alert, expr }) => unknownIn(expr, known).map((fault) => `${alert}: ${fault}`))).toEqual(
      [],
    );
    const page = readFileSync(join(root, "docs/alerts.md"), "utf8");
    for (const { alert, annotations } of alerts) {
      expect(annotations.runbook).toBe(`docs/alerts.md#${alert.toLowerCase()}`);
      expect(page).toContain(`### ${alert}\n`);
    }
  });

  it("have a case each, in which one gateway raises it and one beside it, with the same metrics, does not", () => {
    const cases = z
      .object({
        tests: z.array(
          z.object({
            name: z.string(),
            input_series: z.array(z.object({ series: z.string() })),
            alert_rule_test: z.array(
              z.object({
                alertname: z.string(),
                exp_alerts: z.array(z.object({ exp_labels: z.record(z.string(), z.string()) })),
              }),
            ),
          }),
        ),
      })
      .parse(parse(readFileSync(join(root, "monitoring/alerts.test.yml"), "utf8"))).tests;
    expect(cases.map(({ name }) => name)).toEqual(alerts.map(({ alert }) => alert));
    for (const { name, input_series, alert_rule_test } of cases) {
      const metrics = (who: string) =>
        input_series
          .filter(({ series }) => series.includes(`instance="${who}"`))
          .map(({ series }) => series.split("{")[0]);
      expect(metrics("good"), name).toEqual(expect.arrayContaining(metrics("bad")));
      expect(metrics("bad").length, name).toBeGreaterThan(0);
      const raised = alert_rule_test.flatMap((one) => (one.alertname === name ? one.exp_alerts : []));
      expect(
        raised.map(({ exp_labels }) => exp_labels["instance"]),
        name,
      ).toEqual(["bad"]);
    }
  });
});
