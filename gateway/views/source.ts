import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { LoadedConfig, LoadedLink } from "../config/types.ts";
import type { Clock } from "../core/clock.ts";
import type { Device } from "../core/driver.ts";
import { type ErrandDesk, fromWire, limitsOf, toWire } from "../core/errand.ts";
import type { Inspector, StoredEntry } from "../core/inspect.ts";
import type { Queue } from "../core/queue.ts";
import type {
  DeviceBrief,
  DeviceView,
  LinkBrief,
  LinkView,
  Overview,
  QueueView,
  TagState,
  TagView,
  UplinkView,
  WriteView,
} from "../http/api/schemas.ts";
import type { ApiSource, Line, WriteValue } from "../http/api/source.ts";
import { deadLetterLines } from "../northbound/dead-letter-files.ts";
import type { ForwarderStatus } from "../northbound/forwarder.ts";
import { planReport } from "../plan-report.ts";
import type { Recorder } from "../recorder/recorder.ts";
import type { Link } from "../southbound/link.ts";
import type { DeviceStatus } from "../southbound/status.ts";
import type { LogLines } from "../system/log-lines.ts";
import type { ConfigViews } from "./config.ts";
import { given } from "./given.ts";
import { type LiveTags, shownValue } from "./live.ts";
import type { Rates } from "./rates.ts";
import { uplinkBrief, uplinkView } from "./uplinks.ts";
import type { Wizard } from "./wizard.ts";

export interface ViewParts {
  readonly config: LoadedConfig;
  readonly version: string;
  readonly clock: Clock;
  readonly links: () => readonly Link[];
  readonly uplinks: () => readonly ForwarderStatus[];
  readonly queue: Pick<Queue, "stats" | "gaps">;
  readonly inspector: () => Inspector;
  readonly encode: (entry: StoredEntry) => string;
  readonly broker: () => object;
  readonly health: () => { readonly ok: boolean; readonly reasons: readonly string[] };
  readonly recorder: Recorder;
  readonly desk: ErrandDesk;
  readonly live: LiveTags;
  readonly rates: Rates;
  readonly configs: ConfigViews;
  readonly wizard: Wizard;
  readonly logs: LogLines;
}

const RECORDING = /^(\d{8}T\d{6}Z-.*|\d{8}T\d{6}Z)\.pcapng$/;
/** Of one overview: however many ask for it. */
const FRESH_MS = 500;

/** What the running gateway shows through its API. */
export class GatewayViews implements ApiSource {
  readonly #parts: ViewParts;
  readonly #startedAt: number;
  readonly version: string;
  readonly gatewayId: string;
  #overview: { readonly atMs: number; readonly view: Overview } | undefined;

  constructor(parts: ViewParts) {
    this.#parts = parts;
    this.version = parts.version;
    this.gatewayId = parts.config.gateway.id;
    this.#startedAt = parts.clock.now().wallMs;
  }

  overview(): Overview {
    const nowMs = performance.now();
    if (this.#overview && nowMs - this.#overview.atMs < FRESH_MS) return this.#overview.view;
    const { clock, queue, health, rates, broker } = this.#parts;
    const now = clock.now();
    const stats = queue.stats();
    const { ok, reasons } = health();
    const view: Overview = {
      gateway: this.gatewayId,
      version: this.version,
      now: now.wallMs,
      startedAt: this.#startedAt,
      clock: now.clock,
      health: { ok, reasons: [...reasons] },
      links: this.links(),
      devices: this.#parts.config.links.flatMap((link) => link.devices.map((device) => this.#device(link, device))),
      uplinks: this.#parts.config.uplinks
        .map(({ name }) => uplinkBrief(this.#parts, name))
        .filter((one) => one !== undefined),
      queue: {
        bytes: stats.bytes,
        reserveBytes: Math.max(0, stats.bytes - stats.streams.events.bytes - stats.streams.telemetry.bytes),
        maxBytes: stats.maxBytes,
        dropped: stats.dropped,
        quarantined: stats.quarantined,
        healthy: stats.healthy,
        ...given("secondsToFull", stats.secondsToFull),
        ...given("secondsToDrain", stats.secondsToDrain),
      },
      rates: rates.view(),
      broker: { ...broker() },
    };
    this.#overview = { atMs: nowMs, view };
    return view;
  }

  links(): LinkBrief[] {
    return this.#parts.config.links.map((link) => this.#linkBrief(link));
  }

  async link(name: string): Promise<LinkView | undefined> {
    const { config, recorder } = this.#parts;
    const loaded = config.links.find((one) => one.name === name);
    const link = this.#running(name);
    if (!loaded || !link) return undefined;
    const held = recorder.status().find((one) => one.link === name);
    return {
      ...this.#linkBrief(loaded),
      units: loaded.devices.map((device) => this.#device(loaded, device)),
      plan: planReport(loaded, link),
      recorder: {
        recording: held?.recording ?? false,
        ...given("transport", held?.transport),
        ...given("at", held?.at),
        ...given("chunks", held?.chunks),
        ...given("bytes", held?.bytes),
        ...given("ageMs", held?.ageMs),
      },
      recordings: await this.#recordings(name),
    };
  }

  record(link: string, forMs: number | undefined, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return this.#parts.recorder.record(link, forMs, signal);
  }

  async recording(link: string, file: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    // Only what the list has: no name leads anywhere else.
    if (!(await this.#recordings(link)).some((one) => one.file === file)) return undefined;
    return createReadStream(join(this.#folder, file));
  }

  device(name: string): DeviceView | undefined {
    const found = this.#find(name);
    if (!found) return undefined;
    const { link, device } = found;
    const states = new Map(this.#parts.live.states(name)?.map((state) => [state.tag, state]));
    const tags = [...device.tags, ...(device.derived ?? [])];
    return {
      ...this.#device(link, device),
      values: tags.map((tag): TagView => {
        const state: TagState = states.get(tag.name) ?? { tag: tag.name, value: null, quality: "none" };
        const derived = !device.tags.includes(tag);
        const limits = derived ? undefined : writable(link, tag);
        return {
          ...state,
          type: tag.type,
          everyMs: tag.everyMs,
          stream: tag.stream,
          derived,
          history: this.#parts.live.hasHistory(name, tag.name),
          ...given("unit", tag.unit),
          ...given("address", addressOf(tag.options)),
          ...given("writable", limits),
        };
      }),
    };
  }

  tags(device: string): TagState[] | undefined {
    return this.#parts.live.states(device);
  }

  changed(device: string, since: number) {
    return this.#parts.live.changed(device, since);
  }

  history(device: string, tag: string) {
    return this.#parts.live.history(device, tag);
  }

  async write(
    name: string,
    values: Readonly<Record<string, WriteValue>>,
    by: string,
    signal: AbortSignal,
  ): Promise<WriteView | undefined> {
    const found = this.#find(name);
    if (!found) return undefined;
    const writes = Object.entries(values).map(([tag, value]) => ({ tag, value: wireOf(value, found.device, tag) }));
    const { results } = await this.#parts.desk.write(
      { link: found.link.name, device: name, writes, user: by.slice(0, 100) },
      signal,
    );
    return {
      results: results.map(({ tag, ok, reason, before, after }) => ({
        tag,
        ok,
        ...given("reason", reason),
        ...(before === undefined ? {} : { before: shownValue(fromWire(before)) }),
        ...(after === undefined ? {} : { after: shownValue(fromWire(after)) }),
      })),
    };
  }

  async queue(): Promise<QueueView> {
    const { config, queue, inspector, uplinks } = this.#parts;
    const gaps = config.uplinks.flatMap(({ name }) =>
      queue
        .gaps(name)
        .slice(0, 100)
        .map(({ stream, from, to, count, reason }) =>
          reason === "refused"
            ? { uplink: name, stream, count, reason }
            : { uplink: name, stream, from, to, count, reason },
        ),
    );
    return {
      stats: { ...(await inspector().stats()) },
      gaps,
      deadLetters: uplinks().flatMap(({ name, deadLetters }) =>
        deadLetters
          ? [
              {
                uplink: name,
                records: deadLetters.records,
                bytes: deadLetters.bytes,
                dropped: deadLetters.dropped,
                ...given("oldest", deadLetters.oldestMs),
              },
            ]
          : [],
      ),
    };
  }

  async peek(query: Parameters<ApiSource["peek"]>[0], signal: AbortSignal): Promise<Record<string, unknown>[]> {
    const found: Record<string, unknown>[] = [];
    for await (const chunk of this.#parts.inspector().records(query, signal)) {
      for (const one of chunk) {
        if (found.length >= query.limit) return found;
        found.push(one.kind === "record" ? objectOf(this.#parts.encode(one.entry)) : { damaged: one.damage });
      }
    }
    return found;
  }

  async deadLetters(uplink: string, limit: number): Promise<Record<string, unknown>[] | undefined> {
    const { config } = this.#parts;
    // The name becomes part of a path: only one that is configured.
    if (!config.uplinks.some(({ name }) => name === uplink)) return undefined;
    const lines: string[] = [];
    for await (const line of deadLetterLines(config.gateway.dataDir, uplink)) {
      lines.push(line);
      if (lines.length > limit) lines.shift();
    }
    return lines.reverse().map(objectOf);
  }

  uplink(name: string): Promise<UplinkView | undefined> {
    return uplinkView(this.#parts, name);
  }

  logs(query: Parameters<ApiSource["logs"]>[0]) {
    return this.#parts.logs.since(query);
  }

  config = () => this.#parts.configs.view();
  configSchema = () => this.#parts.configs.schema();
  checkConfig = (text: string) => this.#parts.configs.check(text);
  completeConfig = (text: string, offset: number) => this.#parts.configs.complete(text, offset);
  diffConfig = (text: string) => this.#parts.configs.diff(text);

  scan(line: Line, units: readonly number[], timeoutMs: number | undefined) {
    return this.#parts.wizard.scan(line, units, timeoutMs);
  }

  scanned(id: string) {
    return this.#parts.wizard.scanned(id);
  }

  stopScan(id: string) {
    return this.#parts.wizard.stopScan(id);
  }

  interpret(line: Line, ask: Parameters<ApiSource["interpret"]>[1], signal: AbortSignal) {
    return this.#parts.wizard.interpret(line, ask, signal);
  }

  get #folder(): string {
    return join(this.#parts.config.gateway.dataDir, "recordings");
  }

  /** Those of a link, by how the recorder names them: link, time, reason. */
  async #recordings(link: string): Promise<LinkView["recordings"]> {
    const start = `${link.replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 60)}-`;
    const found: LinkView["recordings"] = [];
    for (const file of await readdir(this.#folder).catch(() => [])) {
      if (!file.startsWith(start) || !RECORDING.test(file.slice(start.length))) continue;
      const { size, mtimeMs } = await stat(join(this.#folder, file)).catch(() => ({ size: 0, mtimeMs: 0 }));
      found.push({ file, bytes: size, at: Math.round(mtimeMs) });
    }
    return found.sort((a, b) => b.at - a.at);
  }

  #find(name: string): { readonly link: LoadedLink; readonly device: Device } | undefined {
    for (const link of this.#parts.config.links) {
      const device = link.devices.find((one) => one.name === name);
      if (device) return { link, device };
    }
    return undefined;
  }

  #running(name: string): Link | undefined {
    return this.#parts.links().find((one) => one.name === name);
  }

  #linkBrief({ name, driver, devices }: LoadedLink): LinkBrief {
    const status = this.#running(name)?.status();
    return {
      name,
      driver: driver.name,
      state: status?.state ?? "stopped",
      since: status?.since ?? this.#startedAt,
      loadPercent: status?.loadPercent ?? 0,
      overruns: status?.overruns ?? 0,
      errors: status?.errors ?? 0,
      devices: devices.map((device) => device.name),
      ...given("lastReply", status?.lastReply),
      ...given("lastError", status?.lastError),
    };
  }

  #device(link: LoadedLink, { name, topic, tags, derived = [] }: Device): DeviceBrief {
    const status: DeviceStatus | undefined = this.#running(link.name)
      ?.status()
      .devices.find((one) => one.name === name);
    return {
      name,
      link: link.name,
      topic,
      state: status?.state ?? "unknown",
      tags: tags.length + derived.length,
      bad: this.#parts.live.bad(name),
      loadPercent: status?.loadPercent ?? 0,
      requests: status?.requests ?? 0,
      timeouts: status?.timeouts ?? 0,
      errors: status?.errors ?? 0,
      overruns: status?.overruns ?? 0,
      ...given("since", status?.since),
      ...given("lastReply", status?.lastReply),
    };
  }
}

function writable({ driver }: LoadedLink, tag: Device["tags"][number]): TagView["writable"] {
  const limits = limitsOf(driver, tag);
  // A driver without limits says only when it is asked whether it writes.
  if (!limits || !driver.writable) return undefined;
  const { min, max, maxStep, everyMs } = limits;
  return { ...given("min", min), ...given("max", max), ...given("maxStep", maxStep), ...given("everyMs", everyMs) };
}

function addressOf(options: unknown): string | undefined {
  if (typeof options !== "object" || options === null || !("address" in options)) return undefined;
  const { address } = options;
  if (typeof address === "object" && address !== null && "area" in address && "index" in address) {
    const bit = "bit" in address && address.bit !== undefined ? `.${address.bit}` : "";
    return `${address.area}:${address.index}${bit}`;
  }
  return typeof address === "string" || typeof address === "number" ? String(address) : undefined;
}

/** Whole numbers beyond 2^53 come as text; bytes come as hex. */
function wireOf(value: WriteValue, device: Device, name: string) {
  const type = device.tags.find((tag) => tag.name === name)?.type ?? "";
  if (typeof value === "string" && /^u?int/.test(type) && /^-?\d{1,20}$/.test(value)) return toWire(BigInt(value));
  return value;
}

function objectOf(line: string): Record<string, unknown> {
  const parsed: unknown = JSON.parse(line);
  return typeof parsed === "object" && parsed !== null ? { ...parsed } : { line };
}
