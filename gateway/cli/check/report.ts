import { formatLocated, type Located } from "../../config/faults.ts";
import { busLoad } from "../../config/plan.ts";
import type { LoadedConfig, LoadedLink, ScanGroup } from "../../config/types.ts";
import { defaultClientId } from "../../core/options/external-broker.ts";
import { type Disk, diskOf } from "./disk.ts";
import { type BufferEstimate, estimateBuffer } from "./estimate.ts";
import { costOf, type GroupCost, loadWarning } from "./load.ts";

export interface LinkReport {
  readonly name: string;
  readonly driver: string;
  readonly devices: number;
  readonly tags: number;
  /** Predicted; absent where the driver cannot say. */
  readonly loadPercent?: number;
  readonly groups: readonly {
    readonly device: string;
    readonly everyMs: number;
    readonly stream: string;
    readonly tags: number;
    /** Tags that no request gives: listened for, or only written. */
    readonly unasked: readonly string[];
    /** Tags that are worked out from others. */
    readonly derived: readonly string[];
    readonly cost: GroupCost;
    readonly requests: readonly {
      readonly label: string;
      readonly tags: readonly string[];
      readonly wireMs: number;
      /** With the unit's turn-around. */
      readonly busyMs: number;
      readonly addresses?: number;
      readonly spare?: number;
    }[];
  }[];
}

/** All that `check` found out about a configuration without faults; `--json` prints it as it is. */
export interface CheckReport {
  readonly ok: true;
  readonly file: string;
  readonly gateway: string;
  /** Present where a broker that is already there takes the place of the embedded one. */
  readonly externalBroker?: {
    readonly urls: readonly string[];
    readonly clientId: string;
    /** What the gateway subscribes to there. */
    readonly subscribes: readonly string[];
  };
  readonly links: readonly LinkReport[];
  /** Devices whose tags, or some of them, come from a profile. */
  readonly profiles: LoadedConfig["profiles"];
  readonly uplinks: readonly { readonly name: string; readonly type: string; readonly select: readonly string[] }[];
  readonly buffer: BufferEstimate & {
    readonly maxBytes: number;
    readonly dataDir: string;
    readonly freeBytes?: number;
  };
  readonly warnings: readonly string[];
}

export async function reportOn(config: LoadedConfig): Promise<CheckReport> {
  const disk = await diskOf(config.gateway.dataDir);
  const buffer = estimateBuffer(config);
  const links = config.links.map(linkReport);
  return {
    ok: true,
    file: config.file,
    gateway: config.gateway.id,
    ...(config.broker.external === undefined ? {} : { externalBroker: externalReport(config) }),
    links,
    profiles: config.profiles,
    uplinks: config.uplinks.map(({ name, module, shared }) => ({ name, type: module.name, select: shared.select })),
    buffer: {
      ...buffer,
      maxBytes: config.queue.maxBytes,
      dataDir: config.gateway.dataDir,
      ...(disk === undefined ? {} : { freeBytes: disk.freeBytes }),
    },
    warnings: [...config.warnings, ...loadWarnings(config), ...diskWarnings(config, disk)].map(formatLocated),
  };
}

function externalReport(config: LoadedConfig): NonNullable<CheckReport["externalBroker"]> {
  const { url = "", urls = [], clientId = defaultClientId(config.gateway.id) } = config.broker.external ?? {};
  const devices = config.links.flatMap((link) => link.devices);
  const commands = devices.map(({ name }) => `${config.commands.topic}/${name}/write`);
  const captured = config.capture.flatMap(({ topics }) => topics);
  return { urls: [url, ...urls], clientId, subscribes: [...new Set([...captured, ...commands])] };
}

function linkReport(link: LoadedLink): LinkReport {
  const load = busLoad(link);
  return {
    name: link.name,
    driver: link.driver.name,
    devices: link.devices.length,
    tags: link.devices.reduce((sum, device) => sum + device.tags.length + (device.derived?.length ?? 0), 0),
    ...(load === undefined ? {} : { loadPercent: load }),
    groups: link.groups.map((group) => groupReport(group, link.concurrency)),
  };
}

function groupReport(group: ScanGroup, concurrency: number): LinkReport["groups"][number] {
  const { device, everyMs, stream, tags, derived, requests } = group;
  return {
    device: device.name,
    everyMs,
    stream,
    tags: tags.length,
    unasked: tags.filter((tag) => !requests.some((request) => request.tags.includes(tag))).map(({ name }) => name),
    derived: derived.map(({ name }) => name),
    cost: costOf(group, concurrency),
    requests: requests.map(({ label, tags: read, wireMs, busyMs = wireMs, addresses, spare }) => ({
      label,
      tags: read.map(({ name }) => name),
      wireMs,
      busyMs,
      ...(addresses === undefined ? {} : { addresses }),
      ...(spare === undefined ? {} : { spare }),
    })),
  };
}

function loadWarnings(config: LoadedConfig): Located[] {
  return config.links.flatMap((link, index) => {
    const message = loadWarning(link);
    return message === undefined ? [] : [located(config, ["links", index], `links[${index}]`, message)];
  });
}

function diskWarnings(config: LoadedConfig, disk: Disk | undefined): Located[] {
  if (disk === undefined) return [];
  const warnings: Located[] = [];
  const { maxBytes, minFree } = config.queue;
  if (disk.volatile) {
    const message = "this folder is in memory: the queue would not survive a restart; name one on a disk";
    warnings.push(located(config, ["gateway", "dataDir"], "gateway.dataDir", message));
  }
  if (disk.freeBytes < maxBytes + minFree) {
    const message =
      "the disk has less free space now than maxBytes and minFree together: the queue will be full earlier";
    warnings.push(located(config, ["queue", "maxBytes"], "queue.maxBytes", message));
  }
  return warnings;
}

function located(config: LoadedConfig, path: (string | number)[], text: string, message: string): Located {
  return { file: config.file, ...config.position(path), path: text, message };
}
