import { Buffer, isUtf8 } from "node:buffer";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Outgoing } from "../../../gateway/core/uplink.ts";
import { type EncoderOption, encoderOption, makeEncoder } from "../../../gateway/northbound/encoders/options.ts";
import { topicMapper } from "../../../gateway/northbound/topics.ts";
import { CASES, type Case } from "./records.ts";

/** What each format makes of the same records, as people can read it. UPDATE_GOLDEN=1 writes the files anew. */

const folder = join(import.meta.dirname, "golden");
const topics = topicMapper("acme/{topic}", "gw");

const LIQUID = `{"asset":{{ device | json }},"at":"{{ time }}","q":"{{ quality }}","all":{{ values | json }}
{%- if samples.size > 0 %},"points":[{% for s in samples %}{{ s | json }}{% unless forloop.last %},{% endunless %}{% endfor %}]{% endif %}
{%- if message %},"message":{{ message | json }}{% endif %}}`;

const FORMATS: readonly (readonly [string, unknown])[] = [
  ["values", "values"],
  ["flat", "flat"],
  ["per-tag", { name: "per-tag" }],
  ["raw", "raw"],
  ["neuron-values", "neuron"],
  ["neuron-tags", { name: "neuron", format: "tags" }],
  ["thingsboard-gateway", "thingsboard"],
  ["thingsboard-device", { name: "thingsboard", format: "device" }],
  ["thingsboard-raw", { name: "thingsboard", captured: "raw" }],
  ["influx", "influx"],
  [
    "influx-options",
    {
      name: "influx",
      measurement: "{gateway}.{group}",
      tags: { site: "Hof, 1" },
      precision: "s",
      integers: "none",
      captured: "raw",
    },
  ],
  ["template", { name: "template", body: LIQUID, contentType: "application/json" }],
  ["template-captured", { name: "template", body: LIQUID, captured: "template" }],
];

describe("docs/formats.md", () => {
  it("names every format and every option", () => {
    const page = readFileSync(join(import.meta.dirname, "../../../docs/formats.md"), "utf8");
    for (const { shape } of encoderOption.options) {
      expect(page).toContain(`| \`${shape.name.value}\` |`);
      for (const option of Object.keys(shape).filter((key) => key !== "name"))
        expect(page).toContain(`| \`${option}\` |`);
    }
  });
});

describe("golden files", () => {
  it.each(FORMATS)("%s", (name, raw) => {
    const option: EncoderOption = optionOf(raw);
    const text = CASES.map((one) => shown(one, option)).join("\n");
    const file = join(folder, `${name}.txt`);
    if (process.env["UPDATE_GOLDEN"] !== undefined) writeFileSync(file, text);
    expect(text).toBe(readFileSync(file, "utf8"));
  });

  it("every JSON body is JSON, but those that came as something else", () => {
    const json = FORMATS.filter(([name]) => !/^(raw|influx|template-captured)/.test(name));
    for (const [name, raw] of json) {
      for (const { payload, text } of CASES.flatMap((one) => bodies(one, optionOf(raw)))) {
        if (payload.kind === "message") continue;
        expect(() => JSON.parse(text), `${name}: ${text}`).not.toThrow();
      }
    }
  });
});

function optionOf(raw: unknown): EncoderOption {
  return encoderOption.parse(typeof raw === "string" ? { name: raw } : raw);
}

function encoded({ entry, envelope = false, historical = false }: Case, option: EncoderOption): readonly Outgoing[] {
  return makeEncoder(option).encode(entry, { gatewayId: "gw", topics, envelope, historical });
}

function bodies(one: Case, option: EncoderOption) {
  return encoded(one, option).map(({ payload }) => ({
    payload: { kind: one.entry.content.kind },
    text: Buffer.from(payload).toString("utf8"),
  }));
}

function shown(one: Case, option: EncoderOption): string {
  const messages = encoded(one, option).map((message) => {
    const flags = `${message.retain ? " retained" : ""}${message.contentType === undefined ? "" : ` ${message.contentType}`}`;
    const pairs = message.properties.map(([key, value]) => `${key}=${value}`).join(" ");
    return `> ${message.topic}${flags}\n  ${pairs === "" ? "no properties" : pairs}\n  ${bodyText(message.payload)}\n`;
  });
  return `# ${one.name}\n${messages.join("")}`;
}

function bodyText(payload: Uint8Array): string {
  const bytes = Buffer.from(payload);
  const text = bytes.toString("utf8");
  return isUtf8(bytes) && !text.includes("\0")
    ? text.replaceAll("\r", "␍").replaceAll("\n", "␊")
    : `bytes ${bytes.toString("hex")}`;
}
