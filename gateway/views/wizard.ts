import { randomBytes } from "node:crypto";
import { lookup } from "node:dns/promises";
import { BlockList, isIPv6 } from "node:net";
import { type LineAccess, unanswered } from "../cli/line/access.ts";
import { type LineLink, openDirect } from "../cli/line/direct.ts";
import { configLine, fits, scaleOf } from "../cli/line/ranking.ts";
import { registersAt, samplesOf } from "../cli/line/registers.ts";
import type { Candidate, FoundUnit, LineTools } from "../cli/line/tools.ts";
import type { LoadedLink } from "../config/types.ts";
import { TimeoutError } from "../core/driver.ts";
import { type ErrandDesk, fromWire } from "../core/errand.ts";
import { ConfigError, messageOf, RejectedError } from "../core/errors.ts";
import type { Interpretations, ScanView } from "../http/api/schemas.ts";
import type { Line } from "../http/api/source.ts";
import { shownValue } from "./live.ts";

const MOST_SCANS = 8;
const WORDS = 16;
const SAMPLE_MS = 1_000;
const PATIENCE_MS = 250;
const MOST_CANDIDATES = 60;

export interface WizardParts {
  readonly links: readonly LoadedLink[];
  readonly desk: ErrandDesk;
  readonly tools: LineTools;
  /** Ports of this gateway itself, which no wizard talks to. */
  readonly ownPorts: () => readonly number[];
}

interface Scan {
  readonly view: { -readonly [K in keyof ScanView]: ScanView[K] };
  readonly stop: AbortController;
  readonly work: Promise<void>;
}

/** Link-local (where clouds keep their secrets), multicast, and no address at all. */
const NEVER = new BlockList();
NEVER.addSubnet("169.254.0.0", 16, "ipv4");
NEVER.addSubnet("224.0.0.0", 3, "ipv4");
NEVER.addSubnet("0.0.0.0", 8, "ipv4");
NEVER.addSubnet("fe80::", 10, "ipv6");
NEVER.addSubnet("ff00::", 8, "ipv6");
NEVER.addAddress("::", "ipv6");

/** Finds units on a line and what their registers mean: of a link that runs, or of a device that nobody configured yet. */
export class Wizard {
  readonly #parts: WizardParts;
  readonly #scans = new Map<string, Scan>();

  constructor(parts: WizardParts) {
    this.#parts = parts;
  }

  async scan(line: Line, units: readonly number[], timeoutMs: number | undefined): Promise<ScanView> {
    const { link, running } = await this.#link(line);
    const busy = [...this.#scans.values()].find(({ view }) => view.state === "running" && view.line === link.name);
    if (busy) throw new ConfigError(`${link.name} is being scanned already (${busy.view.id}); stop that first`);
    for (const [id, { view }] of this.#scans)
      if (this.#scans.size >= MOST_SCANS && view.state !== "running") this.#scans.delete(id);
    if (this.#scans.size >= MOST_SCANS) throw new ConfigError(`${MOST_SCANS} scans run already; stop one first`);
    const id = randomBytes(9).toString("base64url");
    const view: Scan["view"] = { id, line: link.name, state: "running", asked: 0, total: units.length, units: [] };
    const stop = new AbortController();
    const found = (unit: FoundUnit) => void view.units.push(unitOf(unit));
    const work = this.#ask(link, running, { units, timeoutMs, view, found, signal: stop.signal }).then(
      (lost) => end(view, lost === undefined ? "done" : "failed", lost),
      (error: unknown) => end(view, stop.signal.aborted ? "stopped" : "failed", messageOf(error)),
    );
    this.#scans.set(id, { view, stop, work });
    return shownScan(view);
  }

  scanned(id: string): ScanView | undefined {
    const scan = this.#scans.get(id);
    return scan && shownScan(scan.view);
  }

  stopScan(id: string): ScanView | undefined {
    const scan = this.#scans.get(id);
    if (!scan) return undefined;
    if (scan.view.state === "running") {
      scan.view.state = "stopped";
      scan.stop.abort(new DOMException("the scan was stopped", "AbortError"));
    }
    return shownScan(scan.view);
  }

  async interpret(
    line: Line,
    { unit, address, expect, samples }: { unit: number; address: string; expect?: string; samples: number },
    signal: AbortSignal,
  ): Promise<Interpretations> {
    const { tools } = this.#parts;
    const around = placesOf(address, tools);
    const { link, running } = await this.#link(line);
    const access = running ? this.#through(link.name) : await openDirect(link, tools, signal);
    try {
      const place = { access, device: { name: `unit ${unit}`, options: { unit, learn: false } } };
      const read = (most: number) => registersAt(place, around, most, signal);
      const shown = `${around.area}:${around.index}`;
      const first = await read(WORDS);
      if ("reason" in first) return { address: shown, words: [], refused: first.reason, candidates: [] };
      const all = await samplesOf(read, first.words, { samples, intervalMs: SAMPLE_MS, signal }, () => {});
      const candidates = tools.rank(all, expect === undefined ? {} : { expect });
      return {
        address: shown,
        words: (all.at(-1) ?? []).map((word) => word.toString(16).padStart(4, "0")),
        candidates: candidates.slice(0, MOST_CANDIDATES).map((one) => candidateOf(one, shown, expect !== undefined)),
      };
    } finally {
      await access.close();
    }
  }

  /** Ends what is going on. Idempotent, never rejects. */
  async stop(): Promise<void> {
    for (const id of this.#scans.keys()) this.stopScan(id);
    await Promise.all([...this.#scans.values()].map(({ work }) => work));
  }

  /** Gives why it ended early. */
  async #ask(
    link: LineLink,
    running: boolean,
    how: {
      readonly units: readonly number[];
      readonly timeoutMs: number | undefined;
      readonly view: Scan["view"];
      readonly found: (unit: FoundUnit) => void;
      readonly signal: AbortSignal;
    },
  ): Promise<string | undefined> {
    const { units, timeoutMs, view, found, signal } = how;
    if (running && isSerial(link)) {
      const access = this.#through(link.name);
      for (const unit of units) {
        signal.throwIfAborted();
        const options = { unit, learn: false, timeout: `${timeoutMs ?? PATIENCE_MS}ms` };
        const tags = [{ name: "holding:0", options: { address: "holding:0", type: "uint16" } }];
        const [sample] = await access.read({ device: { name: `unit ${unit}`, options }, tags }, signal);
        view.asked++;
        if (!sample?.silent)
          found({ unit, answer: sample?.quality === "good" ? "data" : (sample?.reason ?? ""), objects: {} });
      }
      return undefined;
    }
    const progress = (done: number) => {
      view.asked = done;
    };
    const patience = timeoutMs === undefined ? {} : { patienceMs: timeoutMs };
    const { lost } = await this.#parts.tools.scan(
      link.options,
      { units, identify: true, found, progress, ...patience },
      signal,
    );
    return lost;
  }

  /** @throws ConfigError: there is no such link, it speaks something else, or it is nowhere a wizard may go. */
  async #link(line: Line): Promise<{ readonly link: LineLink; readonly running: boolean }> {
    const { links, tools } = this.#parts;
    if ("link" in line) {
      const link = links.find(({ name }) => name === line.link);
      if (!link) throw new ConfigError(`there is no link ${line.link}`);
      if (link.driver.name !== tools.modbus.name) throw new ConfigError(`link ${line.link} does not speak Modbus`);
      return { link, running: true };
    }
    const { host, port } = line.tcp;
    const at = await this.#reachable(host, port);
    const options = tools.modbus.linkSchema.parse({ transport: { type: "tcp", host: at, port } });
    return { link: { name: `${host}:${port}`, driver: tools.modbus, options, devices: [] }, running: false };
  }

  /** The address that is meant, looked up once. @throws ConfigError. */
  async #reachable(host: string, port: number): Promise<string> {
    const found = await lookup(host).catch((error: unknown) => {
      throw new ConfigError(`${host} is not known: ${messageOf(error)}`);
    });
    const address = found.address.replace(/^::ffff:(?=\d+\.)/i, "");
    const family = isIPv6(address) ? "ipv6" : "ipv4";
    if (NEVER.check(address, family)) throw new ConfigError(`${host} (${address}) is no place for a device`);
    const loopback = address === "::1" || address.startsWith("127.");
    if (loopback && this.#parts.ownPorts().includes(port))
      throw new ConfigError(`${host}:${port} is this gateway itself`);
    return address;
  }

  /** Through the link that runs, shared with what is polled. */
  #through(link: string): LineAccess {
    const { desk } = this.#parts;
    return {
      via: "gateway",
      async read({ device, tags }, signal) {
        try {
          const { samples } = await desk.read({ link, device, tags: [...tags] }, signal);
          return samples.map(({ tag, quality, value, reason }) => ({
            tag,
            quality,
            ...(value === undefined ? {} : { value: fromWire(value) }),
            ...(reason === undefined ? {} : { reason }),
          }));
        } catch (error) {
          if (error instanceof TimeoutError) return unanswered(tags, error.message);
          throw error;
        }
      },
      write: () => Promise.reject(new RejectedError("a wizard only reads")),
      close: () => Promise.resolve(),
    };
  }
}

function placesOf(address: string, tools: LineTools) {
  if (!tools.isAddress(address)) throw new ConfigError(`"${address}" is no address; write holding:0, input:7 or 40001`);
  let around: ReturnType<LineTools["placesAround"]>;
  try {
    around = tools.placesAround(address);
  } catch (error) {
    throw new ConfigError(messageOf(error), { cause: error });
  }
  if (around.neighbours) return around;
  throw new ConfigError(`${address} is one bit: its type is bool, there is nothing to interpret`);
}

function candidateOf(one: Candidate, address: string, expected: boolean): Interpretations["candidates"][number] {
  const [first, ...same] = one.same;
  const scale = scaleOf(one);
  return {
    type: first?.type ?? "",
    order: first?.order ?? "",
    ...(first?.bit === undefined ? {} : { bit: first.bit }),
    same: same.map(({ type, order }) => `${type} ${order}`),
    values: one.values.map((value) => shownValue(value)),
    ...(scale === undefined ? {} : { scale }),
    ...(expected ? { fits: fits(one) } : {}),
    why: [...one.why],
    config: configLine(one, address),
  };
}

function unitOf({ unit, answer, objects, serverId }: FoundUnit): ScanView["units"][number] {
  return { unit, answer, objects: { ...objects }, ...(serverId === undefined ? {} : { serverId }) };
}

function shownScan(view: Scan["view"]): ScanView {
  return { ...view, units: [...view.units] };
}

function end(view: Scan["view"], state: ScanView["state"], error: string | undefined): void {
  if (view.state === "running") view.state = state;
  if (view.state === "failed" && error !== undefined) view.error = error;
}

function isSerial({ options }: LineLink): boolean {
  const transport =
    typeof options === "object" && options !== null && "transport" in options ? options.transport : undefined;
  return typeof transport === "object" && transport !== null && "path" in transport;
}
