import { z } from "zod";
import { openApi, SCOPE_WORDS } from "../../gateway/http/api/openapi.ts";
import { startFront } from "../http/front.ts";

const schema = z.looseObject({
  type: z.unknown().optional(),
  properties: z.record(z.string(), z.unknown()).optional(),
  required: z.array(z.string()).optional(),
  description: z.string().optional(),
});
const content = z.record(z.string(), z.looseObject({ schema: z.unknown().optional() }));
const operation = z.looseObject({
  operationId: z.string(),
  summary: z.string(),
  tags: z.array(z.string()),
  "x-scope": z.string().optional(),
  parameters: z.array(
    z.looseObject({
      name: z.string(),
      in: z.string(),
      required: z.boolean(),
      description: z.string().optional(),
      schema: z.looseObject({ type: z.unknown().optional(), enum: z.array(z.unknown()).optional() }),
    }),
  ),
  requestBody: z.looseObject({ description: z.string(), content }).optional(),
  responses: z.record(z.string(), z.looseObject({ content: content.optional() })),
});
const document = z.looseObject({ paths: z.record(z.string(), z.record(z.string(), operation)) });
type Operation = z.infer<typeof operation>;

/** docs/api-reference.md, from the OpenAPI document of the server as it is. */
export async function apiReference(note: string): Promise<string> {
  const front = await startFront();
  const described = openApi(front.api.routes, "1");
  await front.stop();
  const { paths } = document.parse(described);
  const byTag = new Map<string, string[]>();
  for (const [path, methods] of Object.entries(paths))
    for (const [method, one] of Object.entries(methods)) {
      const [tag = "api"] = one.tags;
      byTag.set(tag, [...(byTag.get(tag) ?? []), section(method.toUpperCase(), path, one)]);
    }
  const scopes = Object.entries(SCOPE_WORDS).map(([name, words]) => `| \`${name}\` | ${words} |`);
  return [
    "# API reference\n",
    note,
    "Every operation, with the scope it needs and what it takes. How to get in is in [api.md](api.md); the schemas of answers are in",
    "`GET /api/v1/openapi.json`.\n",
    `| scope | may |\n| --- | --- |\n${scopes.join("\n")}\n`,
    ...[...byTag].flatMap(([tag, sections]) => [`## ${tag}\n`, ...sections]),
  ].join("\n");
}

function section(method: string, path: string, one: Operation): string {
  const needs = one["x-scope"];
  const who = needs === undefined ? "no login" : needs === "login" ? "anybody who is logged in" : `scope \`${needs}\``;
  const done = Object.keys(one.responses).find((status) => status.startsWith("2")) ?? "200";
  const type = Object.keys(one.responses[done]?.content ?? {})[0] ?? "nothing";
  const rows = [
    ...one.parameters
      .filter(({ in: place }) => place !== "header")
      .map(({ name, in: place, required, description, schema: { type: kind, enum: words } }) =>
        row(name, place, required, words?.join(", ") ?? String(kind ?? "text"), description),
      ),
    ...bodyRows(one),
  ];
  const table =
    rows.length === 0 ? "" : `\n| name | in | needed | type | |\n| --- | --- | --- | --- | --- |\n${rows.join("\n")}\n`;
  return `### ${one.operationId}\n\n\`${method} ${path}\` · ${who} · answers ${done} \`${type}\`\n\n${one.summary}\n${table}`;
}

function bodyRows({ requestBody }: Operation): string[] {
  if (requestBody === undefined) return [];
  const { properties = {}, required = [] } = schema.parse(requestBody.content["application/json"]?.schema ?? {});
  return Object.entries(properties).map(([name, value]) => {
    const { type, description } = schema.parse(value);
    return row(name, "body", required.includes(name), typeof type === "string" ? type : "", description);
  });
}

const row = (name: string, place: string, needed: boolean, type: string, text = "") =>
  `| \`${name}\` | ${place} | ${needed ? "yes" : ""} | ${type} | ${text.replaceAll("|", "\\|")} |`;
