import type { UplinkContext } from "../../core/uplink.ts";
import { ExpiryWatch } from "../mqtt/expiry.ts";
import { ServerList } from "../mqtt/servers.ts";
import { TlsMemory } from "../mqtt/tls-files.ts";
import type { ConnectionLife } from "../mqtt/watch.ts";
import { BdSeqFile } from "./bdseq-file.ts";
import { DataType } from "./datatype.ts";
import { EdgeNode } from "./edge-node.ts";
import type { SparkplugOptions } from "./options.ts";
import { definitionOf, MetricReader } from "./samples.ts";

/** The gateway's own messages, as metrics of the node with JSON in them. */
export const OWN = { gap: "Gateway/gap", clock: "Gateway/clock", status: "Gateway/status" } as const;

/** What outlives the connections of an uplink: the edge node and what it knows of its hosts. */
export interface NodeLife extends ConnectionLife {
  readonly bdSeq: BdSeqFile;
  readonly reader: MetricReader;
  /** Captured topics that have become metrics. */
  readonly topics: Set<string>;
  /** The node, once bdSeq was read. */
  node(): Promise<EdgeNode>;
}

export function makeLife(options: SparkplugOptions, context: UplinkContext): NodeLife {
  const { name, log, metrics, plant, dataDir } = context;
  const bdSeq = new BdSeqFile(dataDir, name, log);
  const reader = new MetricReader(plant);
  let made: Promise<EdgeNode> | undefined;
  return {
    tls: new TlsMemory(),
    versions: new Map(),
    servers: new ServerList([options.url, ...options.urls]),
    expiry: new ExpiryWatch(name, log, metrics),
    bdSeq,
    reader,
    topics: new Set(),
    node() {
      made ??= bdSeq.load().then((last) => nodeOf(options, context, reader, last));
      return made;
    },
  };
}

function nodeOf(
  { group, node, aliases, primaryHost }: SparkplugOptions,
  { gatewayId, plant, log }: UplinkContext,
  reader: MetricReader,
  lastBdSeq: number | undefined,
): EdgeNode {
  const devices = (plant?.devices ?? []).map(({ name, tags }) => ({ id: name, metrics: tags.map(definitionOf) }));
  for (const [where, names] of [
    ["devices", devices.map(({ id }) => id)] as const,
    ...devices.map(({ id, metrics }) => [id, metrics.map(({ name }) => name)] as const),
  ]) {
    const twice = alikeIn(names);
    // [tck-id-case-sensitivity-sparkplug-ids] [tck-id-case-sensitivity-metric-names]
    if (twice !== undefined)
      log.warn({ where, names: twice }, "names that differ only by case; some hosts take them for one");
  }
  return new EdgeNode({
    group,
    node: node ?? gatewayId,
    aliases,
    metrics: [OWN.gap, OWN.clock].map((name) => ({ name, datatype: DataType.String })),
    devices,
    present: (device) => reader.present(device),
    ...(primaryHost === undefined ? {} : { primaryHost }),
    ...(lastBdSeq === undefined ? {} : { lastBdSeq }),
  });
}

/** Two names that are the same in lower case. */
export function alikeIn(names: readonly string[]): readonly [string, string] | undefined {
  const seen = new Map<string, string>();
  for (const name of names) {
    const other = seen.get(name.toLowerCase());
    if (other !== undefined) return [other, name];
    seen.set(name.toLowerCase(), name);
  }
  return undefined;
}
