import { z } from "zod";
import { deviceShape, linkShape, tagShape } from "../core/options/link.ts";
import { profileShape } from "../core/options/profile.ts";
import { duration, secretRef, size } from "../core/options/units.ts";
import { isRecord } from "./explain.ts";
import { type Json, jsonOf } from "./json-schema.ts";
import { driverModules, uplinkModules } from "./modules.ts";
import { sections } from "./section-schemas.ts";
import type { ConfigDeps } from "./types.ts";
import { uplinkShape } from "./uplink-shape.ts";

/**
 * The option tables of the documentation, as Markdown by name: `gateway`, `queue`, ..., `link`, `device`, `tag` for the
 * keys all drivers share, `<driver> link`, `<driver> device`, `<driver> tag`, `uplink` and `<type> uplink`.
 */
export function optionTables(deps: Pick<ConfigDeps, "drivers" | "uplinks"> = {}): ReadonlyMap<string, string> {
  const schemas = new Map<string, z.ZodType>(Object.entries(sections));
  schemas.set("link", z.strictObject(linkShape));
  schemas.set("device", z.strictObject({ ...deviceShape, ...profileShape }));
  schemas.set("tag", z.strictObject(tagShape));
  for (const { name, linkSchema, deviceSchema, tagSchema } of deps.drivers ?? driverModules) {
    schemas.set(`${name} link`, linkSchema);
    schemas.set(`${name} device`, deviceSchema);
    schemas.set(`${name} tag`, tagSchema);
  }
  schemas.set("uplink", z.strictObject(uplinkShape));
  for (const { name, schema } of deps.uplinks ?? uplinkModules) schemas.set(`${name} uplink`, schema);
  return new Map([...schemas].map(([name, schema]) => [name, tableOf(jsonOf(schema))]));
}

const MARKED = /(<!-- options: ([a-z0-9 -]+) -->\n)[\s\S]*?(<!-- end -->)/g;

/**
 * Puts each table between its marks `<!-- options: NAME -->` and `<!-- end -->`.
 * @throws RangeError when the page has no place for a table, or a place for a table that does not exist.
 */
export function fillTables(page: string, tables: ReadonlyMap<string, string>): string {
  const used = new Set<string>();
  const filled = page.replaceAll(MARKED, (_whole, open: string, name: string, close: string) => {
    const table = tables.get(name);
    if (table === undefined) throw new RangeError(`there is no option table "${name}"`);
    used.add(name);
    return `${open}${table}${close}`;
  });
  for (const name of tables.keys()) {
    if (!used.has(name)) throw new RangeError(`the page has no place for the option table "${name}"`);
  }
  return filled;
}

type Row = readonly [key: string, value: string, fallback: string, meaning: string];

function tableOf(schema: Json): string {
  const rows = rowsOf(schema, "", "");
  if (rows.length === 0) return "No keys of its own.\n";
  const cells = rows.map(([key, value, fallback, meaning]) => `| \`${key}\` | ${value} | ${fallback} | ${meaning} |`);
  return ["| key | value | default | meaning |", "| --- | --- | --- | --- |", ...cells, ""].join("\n");
}

/** One row per key that holds a value; keys inside mappings and lists are written with their path. */
function rowsOf(schema: Json, prefix: string, when: string): Row[] {
  const items = schema["items"];
  if (schema["type"] === "array" && isRecord(items) && isRecord(items["properties"])) {
    return rowsOf(items, `${prefix}[].`.replace(/^\[\]\./, ""), when);
  }
  const required = asList(schema["required"]);
  return Object.entries(asRecord(schema["properties"])).flatMap(([key, raw]) => {
    const property = asRecord(raw);
    return propertyRows(`${prefix}${key}`, property, required.includes(key), when);
  });
}

function propertyRows(key: string, property: Json, required: boolean, when: string): Row[] {
  const branches = property["oneOf"];
  if (Array.isArray(branches)) return branchRows(key, branches.map(asRecord), `${property["description"] ?? ""}`);
  const items = asRecord(property["items"]);
  if (isRecord(property["properties"])) return rowsOf(property, `${key}.`, when);
  if (isRecord(items["properties"])) return rowsOf(items, `${key}[].`, when);
  const fallback = "default" in property ? `\`${shown(property["default"])}\`` : required ? "**needed**" : "";
  const meaning = `${property["description"] ?? ""}`.replaceAll("|", "\\|");
  return [[key, kindOf(property), fallback, `${when}${meaning}`]];
}

/** A mapping whose `type` decides which other keys it has. */
function branchRows(key: string, branches: readonly Json[], meaning: string): Row[] {
  const types = branches.map((branch) => String(asRecord(asRecord(branch["properties"])["type"])["const"]));
  // What several types have in common is told once.
  const merged = new Map<string, { readonly row: Row; readonly types: string[] }>();
  for (const [index, branch] of branches.entries()) {
    for (const row of rowsOf(branch, `${key}.`, "")) {
      const known = merged.get(JSON.stringify(row)) ?? { row, types: [] };
      known.types.push(types[index] ?? "");
      merged.set(JSON.stringify(row), known);
    }
  }
  const rows = [...merged.values()].map(({ row: [name, kind, standard, about], types: own }): Row => {
    return [name, kind, standard, `With type ${own.join(", ")}. ${about}`];
  });
  const optional = branches.findIndex((branch) => !asList(branch["required"]).includes("type"));
  const fallback = optional < 0 ? "**needed**" : `\`${types[optional]}\``;
  const choice: Row = [`${key}.type`, types.map((type) => `\`${type}\``).join(" "), fallback, meaning];
  return [choice, ...rows.filter(([name]) => name !== `${key}.type`)];
}

function shown(value: unknown): string {
  return typeof value === "string" && !/\p{Cc}/u.test(value) ? value : JSON.stringify(value);
}

const DURATION = jsonOf(duration())["pattern"];
const SIZE = jsonOf(size())["pattern"];
const SECRET = JSON.stringify(jsonOf(secretRef)["anyOf"]);

function kindOf(property: Json): string {
  if ("const" in property) return `\`${String(property["const"])}\``;
  if (Array.isArray(property["oneOf"])) return "mapping";
  const words = property["enum"];
  if (Array.isArray(words)) return words.map((word) => `\`${String(word)}\``).join(" ");
  const options = property["anyOf"];
  if (Array.isArray(options)) {
    if (JSON.stringify(options) === SECRET) return "secret";
    return [...new Set(options.map((option) => kindOf(asRecord(option))))].join(" or ");
  }
  if (property["pattern"] === DURATION) return "duration";
  if (property["pattern"] === SIZE) return "size";
  return plainKind(property);
}

function plainKind(property: Json): string {
  switch (property["type"]) {
    case "object": {
      const keys = Object.keys(asRecord(property["properties"]));
      return keys.length === 0 ? "mapping" : `\`{ ${keys.map((key) => `${key}: …`).join(", ")} }\``;
    }
    case "integer":
      return `whole number${range(property)}`;
    case "number":
      return `number${range(property)}`;
    case "boolean":
      return "`true` `false`";
    case "array":
      return `list of ${kindOf(asRecord(property["items"]))}`;
    case "string":
      return "text";
    default:
      return "";
  }
}

/** Bounds that somebody chose; those of the number format itself say nothing. */
function range({ minimum, maximum }: Json): string {
  const least = typeof minimum === "number" && minimum > Number.MIN_SAFE_INTEGER ? minimum : undefined;
  const most = typeof maximum === "number" && maximum < Number.MAX_SAFE_INTEGER ? maximum : undefined;
  if (least !== undefined && most !== undefined) return `, ${least} to ${most}`;
  if (least !== undefined) return `, from ${least}`;
  return most === undefined ? "" : `, up to ${most}`;
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function asRecord(value: unknown): Json {
  return isRecord(value) ? value : {};
}
