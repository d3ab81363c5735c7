import { Buffer } from "node:buffer";
import { afterAll, describe, expect, it } from "vitest";
import type { Quality, Value } from "../../gateway/core/sample.ts";
import { DataType, fits } from "../../gateway/northbound/sparkplug/datatype.ts";
import { type Action, EdgeNode } from "../../gateway/northbound/sparkplug/edge-node.ts";
import type { MetricSample } from "../../gateway/northbound/sparkplug/metrics.ts";
import { decodePayload, encodePayload, type Metric } from "../../gateway/northbound/sparkplug/payload.ts";
import { startTahu } from "./peers/tahu.ts";

/** Payloads read and written by Eclipse Tahu, which we did not write: each type, then births to rebirth to death. */

const NOW = 1_732_300_000_000;

const tahu = await startTahu();
afterAll(() => tahu?.stop());

async function read(payload: Uint8Array): Promise<{ text: string; again: Uint8Array }> {
  if (tahu === undefined) throw new Error("no Tahu");
  return await tahu.read(payload);
}

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(DataType).map(([name, type]) => [type, name]));
const CODES = { good: 192, stale: 500, bad: 0 };

/** The same line as Tahu's peer writes, from what was meant. */
function meant(metric: Metric, type: DataType): string {
  const { name = "-", alias = "-", timestamp = "-", value, isHistorical, quality } = metric;
  const text = [name, alias, NAMES.get(type), timestamp, valueText(value, type)];
  if (isHistorical === true) text.push("historical");
  if (value === undefined) text.push("null");
  if (quality !== undefined) text.push(`quality=${CODES[quality]}:Int32`);
  return text.join(" ");
}

function valueText(value: Value | undefined, type: DataType): string {
  if (value === undefined) return "null";
  if (typeof value === "object" || typeof value === "string") return Buffer.from(value as string).toString("base64");
  if (type === DataType.Float) return bits(4, (bytes) => bytes.writeFloatBE(Number(value)));
  if (type === DataType.Double) return bits(8, (bytes) => bytes.writeDoubleBE(Number(value)));
  return String(value);
}

function bits(size: number, write: (bytes: Buffer) => void): string {
  const bytes = Buffer.alloc(size);
  write(bytes);
  return bytes.toString("hex");
}

const VALUES: readonly Value[] = [
  true,
  false,
  0,
  -0,
  1,
  -1,
  127,
  -128,
  255,
  32_767,
  -32_768,
  65_535,
  2_147_483_647,
  -2_147_483_648,
  4_294_967_295,
  Number.MAX_SAFE_INTEGER,
  9_223_372_036_854_775_807n,
  -9_223_372_036_854_775_808n,
  18_446_744_073_709_551_615n,
  0.1,
  Math.fround(0.1),
  -21.5,
  3.4028234663852886e38,
  5e-324,
  Number.MAX_VALUE,
  "",
  'say "hi" ü 漢字 🏭',
  new Uint8Array(),
  Uint8Array.from([0, 255, 10]),
];

describe.skipIf(tahu === undefined)("Tahu", () => {
  it("reads every value of every type, and we read what it writes", async () => {
    let count = 0;
    for (const type of Object.values(DataType)) {
      // Tahu keeps a file with its name, and times as dates: not ours to send.
      if (type === DataType.File) continue;
      const fitting = VALUES.filter(
        (value) => fits(value, type) && !(type === DataType.DateTime && Number(value) > 2 ** 53),
      );
      const metrics: Metric[] = [undefined, ...fitting].map((value, index) => ({
        name: `m${type}-${index}`,
        alias: type * 100 + index,
        timestamp: NOW + index,
        datatype: type,
        ...(value === undefined ? { isNull: true } : { value }),
        isHistorical: index % 2 === 1,
        quality: (["good", "stale", "bad"] as const)[index % 3] ?? "good",
      }));
      const payload = encodePayload({ timestamp: NOW, seq: 7, metrics });
      const { text, again } = await read(payload);
      const ours = [`seq=7 ts=${NOW}`, ...metrics.map((metric) => meant(metric, type))].join(" | ");
      expect(text.replaceAll(/ -0 /g, " 0 ")).toBe(ours.replaceAll(/ -0 /g, " 0 "));
      const plain = (bytes: Uint8Array) => decodePayload(bytes).metrics.map(({ wire: _, ...metric }) => metric);
      expect(plain(again)).toEqual(plain(payload));
      count += metrics.length;
    }
    console.log(
      `sparkplug: ${count} metrics of ${Object.keys(DataType).length - 1} types read alike by Tahu 1.0.21, both ways`,
    );
  });

  it("follows an edge node from birth over rebirth to death", { timeout: 120_000 }, async () => {
    const node = new EdgeNode({
      group: "plant",
      node: "gw",
      aliases: true,
      metrics: [{ name: "mode", datatype: DataType.Int16 }],
      devices: [
        {
          id: "press",
          metrics: [
            { name: "temperature", datatype: DataType.Float },
            { name: "count", datatype: DataType.UInt32 },
          ],
        },
      ],
    });
    const sample = (name: string, value: Value | undefined, quality: Quality = "good"): MetricSample => ({
      name,
      value,
      quality,
      timestamp: NOW,
      isHistorical: false,
    });
    const texts = async (actions: readonly Action[]) => {
      const heard: string[] = [];
      for (const action of actions) {
        if (action.kind === "publish")
          heard.push(`${action.message.type} ${(await read(action.message.payload)).text}`);
      }
      return heard;
    };
    const { will } = node.connecting(NOW);
    expect((await read(will.payload)).text).toBe(`seq=null ts=- | bdSeq - Int64 ${NOW} 0`);
    expect(await texts(node.connected(NOW))).toEqual([
      `NBIRTH seq=0 ts=${NOW} | mode 1 Int16 ${NOW} null null quality=0:Int32 | bdSeq - Int64 ${NOW} 0 | Node Control/Rebirth - Boolean ${NOW} false`,
      `DBIRTH seq=1 ts=${NOW} | temperature 2 Float ${NOW} null null quality=0:Int32 | count 3 UInt32 ${NOW} null null quality=0:Int32`,
    ]);
    expect(await texts(node.data("press", [sample("temperature", 21.5), sample("count", 4_000_000_000)], NOW))).toEqual(
      [
        `DDATA seq=2 ts=${NOW} | - 2 Float ${NOW} 41ac0000 quality=192:Int32 | - 3 UInt32 ${NOW} 4000000000 quality=192:Int32`,
      ],
    );
    const past = { ...sample("count", 7), isHistorical: true, timestamp: NOW - 1 };
    expect(await texts(node.data("press", [past], NOW))).toEqual([
      `DDATA seq=3 ts=${NOW} | - 3 UInt32 ${NOW - 1} 7 historical`,
    ]);
    expect(await texts(node.data("press", [sample("count", undefined, "bad")], NOW))).toEqual([
      `DDATA seq=4 ts=${NOW} | - 3 UInt32 ${NOW} null null quality=0:Int32`,
    ]);
    // Asked for by Tahu's own bytes.
    const rebirth = encodePayload({
      timestamp: NOW,
      metrics: [{ name: "Node Control/Rebirth", datatype: DataType.Boolean, value: true }],
    });
    const { again } = await read(rebirth);
    expect((await texts(node.message("spBv1.0/plant/NCMD/gw", again, NOW))).map((text) => text.split(" |")[0])).toEqual(
      [`NBIRTH seq=0 ts=${NOW}`, `DBIRTH seq=1 ts=${NOW}`],
    );
    expect(await texts(node.deviceOffline("press", NOW))).toEqual([`DDEATH seq=2 ts=${NOW}`]);
    expect(await texts(node.leaving(NOW))).toEqual([`NDEATH seq=null ts=- | bdSeq - Int64 ${NOW} 0`]);
  });

  it("sees bdSeq rise by one over 600 connections, and no hole in seq", { timeout: 300_000 }, async () => {
    const node = new EdgeNode({ group: "plant", node: "gw", aliases: true, devices: [] });
    let messages = 0;
    for (let turn = 0; turn < 600; turn++) {
      const { will } = node.connecting(NOW);
      expect((await read(will.payload)).text).toBe(`seq=null ts=- | bdSeq - Int64 ${NOW} ${turn % 256}`);
      const published = node.connected(NOW);
      for (let i = 0; i < turn % 4; i++) {
        published.push(
          ...node.data(
            "press",
            [{ name: "count", value: i, quality: "good", timestamp: NOW, isHistorical: false }],
            NOW,
          ),
        );
      }
      let seq = 0;
      for (const action of published) {
        if (action.kind !== "publish") continue;
        const { text } = await read(action.message.payload);
        expect(text.startsWith(`seq=${seq++} `), text).toBe(true);
        if (action.message.type === "NBIRTH") expect(text).toContain(` | bdSeq - Int64 ${NOW} ${turn % 256} |`);
        messages++;
      }
      node.lost();
    }
    console.log(`sparkplug: 600 connections, ${messages} messages decoded by Tahu: bdSeq +1 each, holes in seq 0`);
  });
});
