import { expect } from "vitest";
import type { Value } from "../../../gateway/core/sample.ts";
import { fromWire } from "../../../gateway/northbound/sparkplug/datatype.ts";
import type { Action, ConnectTerms } from "../../../gateway/northbound/sparkplug/edge-node.ts";
import { decodePayload, type Metric } from "../../../gateway/northbound/sparkplug/payload.ts";

interface Declared {
  readonly name: string;
  readonly datatype: number;
  value: Value | undefined;
}

export interface Received {
  readonly owner: string;
  readonly name: string;
  readonly value: Value | undefined;
  readonly timestamp: number | undefined;
  readonly historical: boolean;
  readonly quality: string | undefined;
}

/** A host application that believes nothing: it checks each rule of Sparkplug 3.0 on what an edge node sends. */
export class StrictHost {
  /** All data, births not counted. */
  readonly received: Received[] = [];
  readonly types: string[] = [];
  /** By owner ("" for the node), by name. */
  readonly metrics = new Map<string, Map<string, Declared>>();
  readonly #aliases = new Map<number, string>();
  readonly #online = new Set<string>();
  #seq = 0;
  #bdSeq: number | undefined;
  #born = false;

  connect({ bdSeq, will }: ConnectTerms): void {
    // [tck-id-topics-nbirth-bdseq-increment] [tck-id-payloads-ndeath-will-message-qos, -retain]
    if (this.#bdSeq !== undefined) expect(bdSeq).toBe((this.#bdSeq + 1) % 256);
    expect(will).toMatchObject({ type: "NDEATH", qos: 1, retain: false, topic: "spBv1.0/plant/NDEATH/gw" });
    this.#bdSeq = bdSeq;
    this.#born = false;
    this.#death(will.payload);
  }

  take(actions: readonly Action[]): void {
    for (const action of actions) {
      if (action.kind !== "publish") continue;
      const { type, topic, payload, qos, retain } = action.message;
      this.types.push(type);
      expect([qos, retain]).toEqual([0, false]);
      const owner = topic.split("/")[4] ?? "";
      expect(topic).toBe(`spBv1.0/plant/${type}/gw${owner === "" ? "" : `/${owner}`}`);
      if (type === "NDEATH") {
        this.#death(payload);
        this.#born = false;
        continue;
      }
      const { metrics, seq, timestamp } = decodePayload(payload);
      expect(timestamp, "payload timestamp").toBeDefined();
      if (type === "NBIRTH") this.#nodeBirth(seq);
      else expect(seq, `${type} after ${this.#seq}`).toBe((this.#seq + 1) % 256);
      this.#seq = seq ?? -1;
      expect(this.#born, `${type} before NBIRTH`).toBe(true);
      if (type === "NBIRTH" || type === "DBIRTH") this.#birth(owner, metrics);
      else if (type === "DDEATH")
        expect(this.#online.delete(owner), `DDEATH of ${owner}, which is not born`).toBe(true);
      else this.#data(owner, metrics);
    }
  }

  value(owner: string, name: string): Value | undefined {
    return this.metrics.get(owner)?.get(name)?.value;
  }
  isOnline(device: string): boolean {
    return this.#online.has(device);
  }

  #death(payload: Uint8Array): void {
    const { seq, metrics } = decodePayload(payload);
    // [tck-id-payloads-ndeath-seq] [tck-id-topics-ndeath-payload]
    expect(seq).toBeUndefined();
    expect(metrics).toMatchObject([{ name: "bdSeq", datatype: 4, value: this.#bdSeq }]);
  }

  #nodeBirth(seq: number | undefined): void {
    // [tck-id-payloads-sequence-num-req-nbirth]
    expect(seq).toBe(0);
    this.#born = true;
    this.#online.clear();
    this.metrics.clear();
    this.#aliases.clear();
  }

  #birth(owner: string, metrics: readonly Metric[]): void {
    const declared = new Map<string, Declared>();
    for (const metric of metrics) {
      const { name, alias, datatype, timestamp, isNull, value, quality } = metric;
      if (name === undefined || datatype === undefined) throw new Error("a birth without name or datatype");
      expect(timestamp, "metric timestamp").toBeDefined();
      expect(declared.has(name), `${name} twice`).toBe(false);
      expect(isNull === true || value !== undefined, `${name} is neither null nor a value of its type`).toBe(true);
      if (alias !== undefined) {
        // [tck-id-payloads-alias-uniqueness]; Tahu's host refuses one that it has had since the last NBIRTH, even for the same metric.
        expect(this.#aliases.has(alias), `alias ${alias} of ${name} twice`).toBe(false);
        this.#aliases.set(alias, `${owner}/${name}`);
      }
      if (isNull === true) expect(quality).not.toBe("good");
      declared.set(name, { name, datatype, value });
    }
    // [tck-id-operational-behavior-data-publish-nbirth-order]
    const times = metrics.map(({ timestamp = 0 }) => timestamp);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    if (owner === "") {
      expect(metrics.find(({ name }) => name === "bdSeq")?.value, "bdSeq of the birth").toBe(this.#bdSeq);
      const rebirth = metrics.find(({ name }) => name === "Node Control/Rebirth");
      expect(rebirth).toMatchObject({ datatype: 11, value: false });
      expect(rebirth?.alias).toBeUndefined();
    } else this.#online.add(owner);
    this.metrics.set(owner, declared);
  }

  #data(owner: string, metrics: readonly Metric[]): void {
    if (owner !== "") expect(this.#online.has(owner), `data of ${owner}, which is not born`).toBe(true);
    let last = 0;
    for (const metric of metrics) {
      const { alias, timestamp, isHistorical, isNull, wire, quality, datatype } = metric;
      expect(timestamp).toBeDefined();
      expect(datatype, "no datatype in data").toBeUndefined();
      const known = alias === undefined ? `${owner}/${metric.name}` : this.#aliases.get(alias);
      if (alias !== undefined) expect(metric.name, "a name beside an alias").toBeUndefined();
      if (known === undefined) throw new Error(`the unknown alias ${alias}`);
      const name = known.slice(known.indexOf("/") + 1);
      const declared = this.metrics.get(owner)?.get(name);
      if (declared === undefined) throw new Error(`${name} is in no birth of "${owner}"`);
      const value = wire === undefined ? undefined : fromWire(wire, declared.datatype);
      expect(isNull === true || value !== undefined, `${name} is no value of type ${declared.datatype}`).toBe(true);
      if (isHistorical !== true) {
        expect(timestamp).toBeGreaterThanOrEqual(last);
        last = timestamp ?? 0;
        declared.value = value;
      }
      this.received.push({ owner, name, value, timestamp, historical: isHistorical === true, quality });
    }
  }
}
