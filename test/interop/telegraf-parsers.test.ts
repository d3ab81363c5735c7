import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { SamplesContent, StoredSample } from "../../gateway/core/record.ts";
import { encoderOption, makeEncoder } from "../../gateway/northbound/encoders/options.ts";
import { topicMapper } from "../../gateway/northbound/topics.ts";
import { CASES, type Case, entryOf, samplesOf } from "../northbound/encoders/records.ts";
import { Process, root } from "../support/processes.ts";

/** Line protocol, `values` and `flat` read by Telegraf's own parsers (influx, json_v2), built here from their source. */

interface Metric {
  readonly name: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly fields: Readonly<Record<string, string>>;
  readonly ns: number;
}

const topics = topicMapper("{topic}", "gw");
let asked = 0;

/** Undefined where Go or its module proxy is not at hand: said, and skipped. */
async function parsers(): Promise<Process | undefined> {
  const folder = join(tmpdir(), "millrace-interop");
  const program = join(folder, "telegraf-parsers");
  const cwd = join(root, "test/interop/peers/telegraf");
  try {
    mkdirSync(folder, { recursive: true });
    execFileSync("go", ["build", "-o", program, "."], { cwd, stdio: "pipe", timeout: 540_000 });
  } catch (error) {
    console.warn(
      `skipped: Telegraf's parsers need Go 1.25.5 or later and its module proxy (https://go.dev/dl): ${error}`,
    );
    return undefined;
  }
  const started = new Process(program, [], { stdin: true });
  await started.line(/^ready$/);
  return started;
}

const telegraf = await parsers();
afterAll(() => telegraf?.stop());

async function read(format: string, body: Uint8Array): Promise<Metric[]> {
  const mine = ++asked;
  if (telegraf === undefined) throw new Error("no Telegraf");
  telegraf.tell(`${format} ${Buffer.from(body).toString("base64")}`);
  await expect.poll(() => telegraf.lines.length, { interval: 1, timeout: 10_000 }).toBeGreaterThan(mine);
  const line = telegraf.lines[mine] ?? "";
  if (line.startsWith("error")) throw new Error(`${line}\n${Buffer.from(body).toString()}`);
  const metrics: Metric[] = JSON.parse(line);
  return metrics;
}

function bodyOf(format: string, { entry, historical = false }: Case, envelope = false): Uint8Array {
  const [message] = makeEncoder(encoderOption.parse({ name: format })).encode(entry, {
    gatewayId: "gw",
    topics,
    envelope,
    historical,
  });
  if (message === undefined) throw new Error("no message");
  return message.payload;
}

const ofSamples = CASES.filter(({ entry }) => entry.content.kind === "samples");
const good = ({ quality, value }: StoredSample) =>
  quality === "good" && (typeof value !== "number" || Number.isFinite(value));

/** A value as Telegraf has to have it. In JSON all numbers are floats to it. */
function meant({ value }: StoredSample, type: string | undefined, format: string): string {
  if (typeof value === "string") return `string ${value}`;
  if (typeof value === "boolean") return `bool ${value}`;
  if (typeof value === "object") return `string ${Buffer.from(value).toString("base64")}`;
  if (format === "influx" && type === "int64") return `int ${value}`;
  if (format === "influx" && type === "uint64") return `uint ${value}`;
  return typeof value === "bigint" ? `string ${value}` : `float ${value}`;
}

/** Go's text of a float, read back. */
const normal = (text: string) => (text.startsWith("float ") ? `float ${Number(text.slice(6))}` : text);

function fieldsOf(one: Case, format: string): Record<string, string> {
  const { source, samples } = one.entry.content as SamplesContent;
  const type = (tag: string) => source.tags.find(({ name }) => name === tag)?.type;
  return Object.fromEntries(
    samples.filter(good).map((sample) => [sample.tag, meant(sample, type(sample.tag), format)]),
  );
}

/** @returns how many values were compared. */
function taken(metric: Metric, one: Case): number {
  expect(metric).toMatchObject({ name: "press 1", tags: { gateway: "gw", link: "plc", device: "press 1" } });
  const wanted = Object.entries(fieldsOf(one, "influx"));
  for (const [tag, value] of wanted) {
    expect(normal(metric.fields[tag.replaceAll("\\", "_")] ?? ""), tag).toBe(normal(value));
  }
  return wanted.length;
}

function captured(metric: Metric, payload: Uint8Array): number {
  expect(metric).toMatchObject({ name: "message", tags: { gateway: "gw", topic: "plant/scan" } });
  const bytes = Buffer.from(payload);
  const text = bytes.includes(255) ? bytes.toString("base64") : bytes.toString();
  expect(metric.fields[bytes.includes(255) ? "base64" : "text"]).toBe(`string ${text}`);
  return 1;
}

describe.skipIf(telegraf === undefined)("Telegraf's influx parser", () => {
  it("reads every record with its exact values, tags and time", async () => {
    let fields = 0;
    for (const one of CASES) {
      for (const envelope of [false, true]) {
        const [metric, ...more] = await read("influx", bodyOf("influx", one, envelope));
        expect(more).toEqual([]);
        if (metric === undefined) throw new Error(`nothing was read of ${one.name}`);
        if (one.entry.clock === "unsynced") expect(metric.tags["clock"]).toBe("unsynced");
        else expect(BigInt(metric.ns) / 1_000_000n).toBe(BigInt(one.entry.wallMs));
        fields +=
          one.entry.content.kind === "message" ? captured(metric, one.entry.content.payload) : taken(metric, one);
        if (envelope) expect(metric.fields["_id"]).toBe(`string gw/${one.entry.stream}/001a2b3c/42`);
      }
    }
    console.log(`telegraf 1.37.2, influx: ${CASES.length * 2} records, ${fields} values alike`);
  });

  it("reads whatever texts and names there are", async () => {
    const odd = ["\\", "a\\", "\\\\", '"', ",", "=", " ", "a b", "#x", "\n", "ü", "🏭", "a=b,c d", "\\,", '\\"', "{}"];
    for (const text of odd) {
      const one: Case = { name: text, entry: entryOf(samplesOf([{ tag: `t${text}`, value: `v${text}` }])) };
      const [metric] = await read("influx", bodyOf("influx", one));
      expect(metric?.fields).toEqual({ [`t${text.replaceAll(/[\\\n]/g, "_")}`]: `string v${text}` });
    }
  });

  it("reads lines that were joined", async () => {
    const bodies = ofSamples.slice(0, 3).map((one) => Buffer.from(bodyOf("influx", one)).toString());
    expect(await read("influx", Buffer.from(bodies.join("\n")))).toHaveLength(3);
  });
});

describe.each(["values", "flat"])("Telegraf's json_v2 parser: %s", (format) => {
  it("reads every record with its exact values and time", async () => {
    let fields = 0;
    for (const one of ofSamples) {
      const metrics = await read(format, bodyOf(format, one));
      const wanted = Object.entries(fieldsOf(one, format));
      // Nothing good is nothing to read under `values`.
      if (wanted.length === 0 && format === "values") continue;
      const [metric] = metrics;
      if (metric === undefined) throw new Error(`nothing was read of ${one.name}`);
      expect(BigInt(metric.ns) / 1_000_000n).toBe(BigInt(Math.round(one.entry.wallMs)));
      for (const [tag, value] of wanted) {
        const name = tag === "ts" && format === "flat" ? "ts_" : tag;
        // json_v2 writes names without spaces.
        expect(normal(metric.fields[name.replaceAll(" ", "_")] ?? ""), `${one.name}: ${tag}`).toBe(normal(value));
        fields++;
      }
    }
    console.log(`telegraf 1.37.2, json_v2, ${format}: ${ofSamples.length} records, ${fields} values alike`);
  });
});
