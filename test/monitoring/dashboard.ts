import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { root } from "../support/processes.ts";

/**
 * What Grafana 10 reads of a dashboard, as far as ours uses it; an unknown key is a misspelt one. After the fields that Grafana
 * documents for its JSON model (schema version 39).
 */
const datasource = z.strictObject({ type: z.literal("prometheus"), uid: z.literal(`\${datasource}`) });
const place = z
  .strictObject({
    x: z.number().int().min(0).max(23),
    y: z.number().int().min(0),
    w: z.number().int().min(1).max(24),
    h: z.number().int().min(1),
  })
  .refine(({ x, w }) => x + w <= 24, "wider than the page");
const target = z.strictObject({
  refId: z.string().regex(/^[A-Z]$/),
  datasource,
  expr: z.string().min(1),
  legendFormat: z.string(),
  editorMode: z.literal("code"),
  instant: z.boolean(),
  range: z.boolean(),
  format: z.enum(["time_series", "table"]).optional(),
});
const step = z.strictObject({ color: z.string(), value: z.number().nullable() });
const thresholds = z.strictObject({
  mode: z.enum(["absolute", "percentage"]),
  // The first is for everything below the second.
  steps: z.tuple([step.extend({ value: z.null() })], step),
});
const mappings = z.array(
  z.strictObject({
    type: z.literal("value"),
    options: z.record(z.string(), z.strictObject({ text: z.string(), color: z.string(), index: z.number().int() })),
  }),
);
const fieldConfig = <C extends z.ZodType>(custom: C) =>
  z.strictObject({
    defaults: z.strictObject({
      unit: z.string().optional(),
      min: z.number().optional(),
      max: z.number().optional(),
      custom,
      mappings,
      thresholds,
    }),
    overrides: z.array(z.never()),
  });
const common = {
  id: z.number().int().min(1),
  title: z.string().min(1),
  description: z.string().min(10),
  datasource,
  gridPos: place,
  targets: z.array(target).min(1),
};
const row = z.strictObject({
  id: common.id,
  type: z.literal("row"),
  title: common.title,
  collapsed: z.literal(false),
  gridPos: place,
  panels: z.tuple([]),
});
const stat = z.strictObject({
  ...common,
  type: z.literal("stat"),
  fieldConfig: fieldConfig(z.undefined().optional()),
  options: z.strictObject({
    colorMode: z.enum(["none", "value", "background"]),
    graphMode: z.enum(["none", "area"]),
    justifyMode: z.enum(["auto", "center"]),
    orientation: z.enum(["auto", "vertical", "horizontal"]),
    textMode: z.enum(["auto", "value", "name", "value_and_name", "none"]),
    reduceOptions: z.strictObject({
      calcs: z.array(z.string()).min(1),
      fields: z.string(),
      values: z.boolean(),
    }),
  }),
});
const timeseries = z.strictObject({
  ...common,
  type: z.literal("timeseries"),
  fieldConfig: fieldConfig(
    z.strictObject({
      drawStyle: z.enum(["line", "bars", "points"]),
      lineWidth: z.number().int().min(0).max(10),
      fillOpacity: z.number().int().min(0).max(100),
      showPoints: z.enum(["auto", "never", "always"]),
      spanNulls: z.boolean(),
      stacking: z.strictObject({ mode: z.enum(["none", "normal", "percent"]), group: z.string() }),
    }),
  ),
  options: z.strictObject({
    legend: z.strictObject({
      displayMode: z.enum(["list", "table", "hidden"]),
      placement: z.enum(["bottom", "right"]),
      showLegend: z.boolean(),
      calcs: z.array(z.string()),
    }),
    tooltip: z.strictObject({ mode: z.enum(["single", "multi", "none"]), sort: z.enum(["none", "asc", "desc"]) }),
  }),
});
const table = z.strictObject({
  ...common,
  type: z.literal("table"),
  fieldConfig: fieldConfig(z.strictObject({ align: z.literal("auto") })),
  options: z.strictObject({
    showHeader: z.boolean(),
    cellHeight: z.enum(["sm", "md", "lg"]),
    footer: z.strictObject({
      show: z.boolean(),
      reducer: z.array(z.string()),
      countRows: z.boolean(),
      fields: z.string(),
    }),
  }),
  transformations: z.array(z.strictObject({ id: z.string(), options: z.record(z.string(), z.unknown()) })),
});
const variable = {
  name: z.string().regex(/^[a-z]+$/),
  label: z.string().min(1),
  hide: z.literal(0),
  includeAll: z.boolean(),
  multi: z.boolean(),
  regex: z.string(),
  options: z.tuple([]),
  refresh: z.number().int().min(0).max(2),
};
const dashboard = z.strictObject({
  title: z.string().min(1),
  uid: z.string().regex(/^[\w-]{1,40}$/),
  description: z.string(),
  tags: z.array(z.string()),
  timezone: z.enum(["browser", "utc"]),
  editable: z.boolean(),
  graphTooltip: z.number().int().min(0).max(2),
  schemaVersion: z.literal(39),
  version: z.number().int(),
  refresh: z.string().regex(/^\d+[sm]$/),
  time: z.strictObject({ from: z.string(), to: z.string() }),
  timepicker: z.strictObject({}),
  fiscalYearStartMonth: z.literal(0),
  weekStart: z.literal(""),
  links: z.tuple([]),
  annotations: z.strictObject({
    list: z.array(
      z.strictObject({
        name: z.string(),
        datasource,
        enable: z.boolean(),
        hide: z.boolean(),
        iconColor: z.string(),
        expr: z.string().min(1),
      }),
    ),
  }),
  templating: z.strictObject({
    list: z.tuple([
      z.strictObject({
        ...variable,
        type: z.literal("datasource"),
        query: z.literal("prometheus"),
        current: z.strictObject({}),
      }),
      z.strictObject({
        ...variable,
        type: z.literal("query"),
        datasource,
        query: z.strictObject({ query: z.string(), refId: z.string() }),
        sort: z.number().int(),
        allValue: z.string(),
        current: z.strictObject({ selected: z.boolean(), text: z.array(z.string()), value: z.array(z.string()) }),
      }),
    ]),
  }),
  panels: z.array(z.discriminatedUnion("type", [row, stat, timeseries, table])).min(1),
});
export type Dashboard = z.infer<typeof dashboard>;

export const dashboardFile = join(root, "monitoring/grafana-millrace.json");

/** @throws ZodError naming what Grafana would not read. */
export function readDashboard(content: unknown = JSON.parse(readFileSync(dashboardFile, "utf8"))): Dashboard {
  return dashboard.parse(content);
}

/** Each expression of panels and annotations, with where it stands. */
export function expressionsOf({ panels, annotations }: Dashboard): { readonly where: string; readonly expr: string }[] {
  return [
    ...panels.flatMap((panel) =>
      panel.type === "row" ? [] : panel.targets.map(({ refId, expr }) => ({ where: `${panel.title}, ${refId}`, expr })),
    ),
    ...annotations.list.map(({ name, expr }) => ({ where: `annotation ${name}`, expr })),
  ];
}

/** As Grafana fills it in. */
export function filledIn(expr: string): string {
  return expr.replaceAll("$__rate_interval", "1m").replaceAll("$__range", "6h").replaceAll("$instance", ".*");
}

/** Pairs of panels that lie on each other. */
export function overlaps({ panels }: Dashboard): string[] {
  return panels.flatMap((a, at) =>
    panels.slice(at + 1).flatMap((b) => {
      const [p, q] = [a.gridPos, b.gridPos];
      const apart = p.x + p.w <= q.x || q.x + q.w <= p.x || p.y + p.h <= q.y || q.y + q.h <= p.y;
      return apart ? [] : [`${a.title} and ${b.title}`];
    }),
  );
}
