import mqtt, { type MqttClient } from "mqtt";
import type { Tahu } from "./tahu.ts";

interface Heard {
  readonly topic: string;
  readonly payload: Buffer;
}

/** A message as Tahu reads it. */
export interface Read {
  readonly type: string;
  readonly device: string | undefined;
  readonly seq: number | undefined;
  /** Of births and deaths of the node. */
  readonly bdSeq: number | undefined;
  readonly metrics: readonly ReadMetric[];
  readonly text: string;
}

export interface ReadMetric {
  /** By the births before it, where there was only an alias. */
  readonly name: string;
  readonly alias: number | undefined;
  readonly type: string;
  readonly value: string;
  readonly isHistorical: boolean;
  readonly isNull: boolean;
  readonly quality: string | undefined;
}

export interface Verdict {
  readonly messages: number;
  readonly births: number;
  readonly deaths: number;
  readonly holes: string[];
  readonly bdSeqs: readonly number[];
}

/** A host application that hears everything on a server, also what was said while it was away itself. */
export class SparkplugHost {
  readonly heard: Heard[] = [];
  readonly #tahu: Tahu;
  readonly #read: Read[] = [];
  readonly #names = new Map<number, string>();
  #client: MqttClient | undefined;

  constructor(tahu: Tahu) {
    this.#tahu = tahu;
  }

  async start(port: number): Promise<void> {
    const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { clientId: "host", clean: false, reconnectPeriod: 50 });
    this.#client = client;
    client.on("error", () => {});
    client.on("message", (topic, payload) => this.heard.push({ topic, payload }));
    await new Promise<void>((resolve) => client.once("connect", () => resolve()));
    await client.subscribeAsync("spBv1.0/#", { qos: 1 });
  }

  async publish(topic: string, payload: Uint8Array | string, retain = false): Promise<void> {
    await this.#client?.publishAsync(topic, Buffer.from(payload), { qos: retain ? 1 : 0, retain });
  }

  /** Everything heard so far, decoded by Tahu, in order. */
  async read(): Promise<readonly Read[]> {
    while (this.#read.length < this.heard.length) {
      const next = this.heard[this.#read.length];
      if (next !== undefined) this.#read.push(await this.#decode(next));
    }
    return this.#read;
  }

  async stop(): Promise<void> {
    await this.#client?.endAsync(true);
  }

  async #decode({ topic, payload }: Heard): Promise<Read> {
    const [, , type = "", , device] = topic.split("/");
    const { text } = topic.includes("/STATE/") ? { text: "" } : await this.#tahu.read(payload);
    const [head = "", ...rest] = text.split(" | ");
    const seq = /seq=(\d+)/.exec(head)?.[1];
    const metrics = rest.map((one) => this.#metric(one));
    const bdSeq = metrics.find(({ name }) => name === "bdSeq")?.value;
    return {
      ...{ type, device, metrics, text },
      seq: seq === undefined ? undefined : Number(seq),
      bdSeq: bdSeq === undefined ? undefined : Number(bdSeq),
    };
  }

  #metric(text: string): ReadMetric {
    const found = /^(.+) (\d+|-) (\S+) (\d+|-) (\S*)((?: historical| null| quality=\S+)*)$/.exec(text);
    const [, name = "-", alias = "-", type = "", , value = "", marks = ""] = found ?? [];
    const number = alias === "-" ? undefined : Number(alias);
    if (number !== undefined && name !== "-") this.#names.set(number, name);
    return {
      name: name === "-" ? (this.#names.get(number ?? -1) ?? "?") : name,
      alias: number,
      ...{ type, value },
      isHistorical: marks.includes(" historical"),
      isNull: marks.includes(" null"),
      quality: /quality=(\d+)/.exec(marks)?.[1],
    };
  }
}

/** The value as a number; Tahu's peer gives floats as their bits. */
export function numberOf({ type, value }: ReadMetric): number {
  const bytes = Buffer.from(value, "hex");
  if (type === "Float") return bytes.readFloatBE();
  return type === "Double" ? bytes.readDoubleBE() : Number(value);
}

/** The text of a String metric. */
export function textOf({ value }: ReadMetric): string {
  return Buffer.from(value, "base64").toString("utf8");
}

const OF_NODE = /^(NBIRTH|NDATA|NDEATH|DBIRTH|DDATA|DDEATH)$/;

/** What a host that believes nothing has to say. */
export function judge(list: readonly Read[]): Verdict {
  const holes: string[] = [];
  const bdSeqs: number[] = [];
  let seq: number | undefined;
  const said = list.filter(({ type }) => OF_NODE.test(type));
  for (const [index, one] of said.entries()) {
    if (one.type === "NDEATH") {
      // One of an older session says nothing of this one.
      if (one.bdSeq === bdSeqs.at(-1)) seq = undefined;
      continue;
    }
    const expected = one.type === "NBIRTH" ? 0 : seq === undefined ? undefined : (seq + 1) % 256;
    if (one.seq === undefined || one.seq !== expected) holes.push(`${index}: ${one.type} ${one.seq} after ${seq}`);
    if (one.type === "NBIRTH" && one.bdSeq !== undefined && one.bdSeq !== bdSeqs.at(-1)) bdSeqs.push(one.bdSeq);
    seq = one.seq;
  }
  const count = (wanted: string) => said.filter(({ type }) => type === wanted).length;
  return { messages: said.length, births: count("NBIRTH"), deaths: count("NDEATH"), holes, bdSeqs };
}
