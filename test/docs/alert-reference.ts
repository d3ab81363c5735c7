import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { root } from "../support/processes.ts";

const rules = z.strictObject({
  groups: z.array(
    z.strictObject({
      name: z.string().regex(/^millrace-[a-z]+$/),
      rules: z
        .array(
          z.strictObject({
            alert: z.string().regex(/^Millrace[A-Z]\w+$/),
            expr: z.string().min(1),
            for: z
              .string()
              .regex(/^\d+[mh]$/)
              .optional(),
            labels: z.strictObject({ severity: z.enum(["info", "warning", "critical"]) }),
            annotations: z.strictObject({
              summary: z.string().regex(/\{\{ \$labels\.instance \}\}/, "must name the gateway"),
              description: z.string().min(60, "must say what to do"),
              runbook: z.string(),
            }),
          }),
        )
        .min(1),
    }),
  ),
});
export type AlertRule = z.infer<typeof rules>["groups"][number]["rules"][number];

/** monitoring/alerts.yml, by group. @throws ZodError where an alert lacks what a reader of it needs. */
export function alertGroups(): { readonly name: string; readonly rules: readonly AlertRule[] }[] {
  return rules.parse(parse(readFileSync(join(root, "monitoring/alerts.yml"), "utf8"))).groups;
}

const TITLES: Readonly<Record<string, string>> = {
  "millrace-gateway": "The gateway",
  "millrace-links": "Links and devices",
  "millrace-queue": "Queue and disk",
  "millrace-uplinks": "Uplinks",
  "millrace-broker": "The local broker",
};

/** docs/alerts.md. */
export function alertReference(note: string): string {
  const parts = [
    "# Alerts\n",
    note,
    "What each alert of `monitoring/alerts.yml` means, and what to do. How they are set up is in [monitoring](monitoring.md), the metrics",
    "they are made of in [metrics](metrics.md).\n",
  ];
  for (const { name, rules: all } of alertGroups()) {
    parts.push(`## ${TITLES[name] ?? name}\n`);
    for (const { alert, expr, for: after, labels, annotations } of all) {
      const when = after === undefined ? "at once" : `after ${after}`;
      const summary = annotations.summary.replaceAll(/\{\{ \$labels\.(\w+) \}\}/g, "*$1*");
      parts.push(
        `### ${alert}\n`,
        `${summary} Severity ${labels.severity}, ${when}.\n`,
        `${annotations.description}\n`,
        `\`\`\`promql\n${expr}\n\`\`\`\n`,
      );
    }
  }
  return parts.join("\n");
}
