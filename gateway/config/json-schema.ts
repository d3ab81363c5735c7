import { z } from "zod";
import type { DriverModule } from "../core/driver.ts";
import { deviceShape, linkShape, tagShape } from "../core/options/link.ts";
import { profileShape } from "../core/options/profile.ts";
import type { UplinkModule } from "../core/uplink.ts";
import { isRecord } from "./explain.ts";
import { driverModules, uplinkModules } from "./modules.ts";
import { sections } from "./section-schemas.ts";
import type { ConfigDeps } from "./types.ts";
import { uplinkShape } from "./uplink-shape.ts";

export type Json = { [key: string]: unknown };

export const SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema";

/** JSON Schema (draft 2020-12) of the whole file as it is written, for editors. */
export function configJsonSchema(deps: Pick<ConfigDeps, "drivers" | "uplinks"> = {}): Json {
  const drivers = deps.drivers ?? driverModules;
  const uplinks = deps.uplinks ?? uplinkModules;
  return {
    $schema: SCHEMA_ID,
    title: "millrace.yaml",
    description: "Configuration of a Millrace gateway.",
    type: "object",
    properties: {
      gateway: { description: "Who this gateway is.", ...jsonOf(sections.gateway) },
      broker: { description: "The MQTT broker for local clients.", ...withText(jsonOf(sections.broker), "external") },
      capture: { description: "Local MQTT messages that go into the queue.", ...jsonOf(sections.capture) },
      commands: { description: "Commands to devices, over MQTT.", ...jsonOf(sections.commands) },
      queue: { description: "The store-and-forward queue on disk.", ...jsonOf(sections.queue) },
      links: {
        description: "Serial ports and TCP sessions to devices.",
        type: "array",
        items: oneOfModules("driver", drivers.map(linkBranch), drivers),
      },
      uplinks: {
        description: "Upstream systems.",
        type: "array",
        items: oneOfModules("type", uplinks.map(uplinkBranch), uplinks),
      },
      http: { description: "Dashboard, API, health and metrics.", ...jsonOf(sections.http) },
      telemetry: { description: "Traces for a collector.", ...jsonOf(sections.telemetry) },
    },
    required: ["gateway"],
    additionalProperties: false,
  };
}

/** One module is chosen by its name first, so that an editor only reports the faults of that one. */
function oneOfModules(key: string, branches: readonly Json[], modules: readonly { readonly name: string }[]): Json {
  return {
    type: "object",
    properties: { [key]: { enum: modules.map(({ name }) => name), description: "What this one speaks." } },
    required: [key],
    allOf: modules.map(({ name }, index) => ({
      if: { properties: { [key]: { const: name } }, required: [key] },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      then: branches[index],
    })),
  };
}

function linkBranch(module: DriverModule): Json {
  const tag = z.strictObject({ ...tagShape, ...module.tagSchema.shape });
  const tags = z.array(tag).min(1).describe("What is read from this device.");
  const device = jsonOf(z.strictObject({ ...deviceShape, ...profileShape, ...module.deviceSchema.shape }));
  const devices = z.array(z.unknown()).min(1).describe("The devices on this link.");
  const link = jsonOf(
    z.strictObject({ ...linkShape, driver: z.literal(module.name), ...module.linkSchema.shape, devices }),
  );
  const inProfile = z.array(tag.partial().required({ name: true }));
  Object.assign(propertyOf(link, "devices"), { items: withTags(device, jsonOf(tags), jsonOf(inProfile)) });
  return link;
}

/** A device has all of its tags itself, or has a profile, and with it tags that only change or add something. */
function withTags(device: Json, tags: Json, inProfile: Json): Json {
  const { description } = tags;
  return {
    ...device,
    properties: { ...(isRecord(device["properties"]) ? device["properties"] : {}), tags: { description } },
    if: { required: ["profile"] },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: { properties: { tags: inProfile } },
    else: { properties: { tags }, required: ["tags"] },
  };
}

/** A mapping of which one key may be a text too. */
function withText(schema: Json, key: string): Json {
  const { description, ...mapping } = propertyOf(schema, key);
  Object.assign(schema["properties"] ?? {}, { [key]: { description, anyOf: [{ type: "string" }, mapping] } });
  return schema;
}

function propertyOf(schema: Json, key: string): Json {
  const properties = schema["properties"];
  const property = isRecord(properties) ? properties[key] : undefined;
  return isRecord(property) ? property : {};
}

function uplinkBranch(module: UplinkModule): Json {
  return jsonOf(z.strictObject({ ...uplinkShape, type: z.literal(module.name), ...module.schema.shape }));
}

/** The schema of what is written, before units are parsed; keys that only exist to be refused are left out. */
export function jsonOf(schema: z.ZodType): Json {
  const { $schema: _, ...json } = z.toJSONSchema(schema, {
    io: "input",
    unrepresentable: "any",
    override: dropRefused,
  });
  return json;
}

function dropRefused({ jsonSchema }: { readonly jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  const { properties } = jsonSchema;
  for (const [key, value] of Object.entries(properties ?? {})) {
    const refused = isRecord(value) && isRecord(value["not"]) && Object.keys(value["not"]).length === 0;
    if (refused && properties !== undefined) delete properties[key];
  }
}
