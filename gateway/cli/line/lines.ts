import { distance } from "fastest-levenshtein";
import { ConfigFaults } from "../../config/faults.ts";
import type { LoadedConfig } from "../../config/types.ts";
import type { Device, Tag } from "../../core/driver.ts";
import type { ErrandDevice, ErrandTag } from "../../core/errand.ts";
import { findControl } from "../../http/control-path.ts";
import { type CliIo, UsageError } from "../io.ts";
import type { LineAccess } from "./access.ts";
import { type LineLink, openDirect } from "./direct.ts";
import { type LineValues, timeoutIn, transportIn } from "./options.ts";
import { gatewayAnswers, throughGateway } from "./through-gateway.ts";
import type { LineTools } from "./tools.ts";

/** Tags of one device, as somebody named them. */
export interface Target {
  readonly link: LineLink;
  readonly device: ErrandDevice;
  /** Present where the device is configured. */
  readonly configured: Device | undefined;
  /** One for each value; `tag` is present where it is configured. */
  readonly places: readonly { readonly label: string; readonly errand: ErrandTag; readonly tag: Tag | undefined }[];
}

/** How addresses that nobody configured are read. */
export interface AdHoc {
  readonly unit: number | undefined;
  readonly type: string | undefined;
  readonly order: string | undefined;
  readonly count: number | undefined;
}

/** The lines that one command talks to: of a configuration, or named on the command line. */
export class Lines {
  readonly config: LoadedConfig | undefined;
  readonly #adHoc: LineLink | undefined;
  readonly #values: LineValues;
  readonly #tools: LineTools;
  readonly #open = new Map<string, Promise<LineAccess>>();

  constructor(
    config: LoadedConfig | undefined,
    line: LineLink | undefined,
    { values, tools }: { readonly values: LineValues; readonly tools: LineTools },
  ) {
    this.config = config;
    this.#adHoc = line;
    this.#values = values;
    this.#tools = tools;
  }

  /** Whether the line was named on the command line. */
  get isAdHoc(): boolean {
    return this.#adHoc !== undefined;
  }

  /** @throws UsageError saying what there is instead. */
  target(text: string, how: AdHoc): Target {
    const tools = this.#tools;
    if (tools.isAddress(text)) return this.#address(text, how);
    if (this.#adHoc) throw new UsageError(`"${text}" is not an address; write holding:0, input:7, coil:3 or 40001`);
    const slash = text.indexOf("/");
    const name = slash < 0 ? text : text.slice(0, slash);
    const found = this.#device(name);
    const rest = slash < 0 ? undefined : text.slice(slash + 1);
    if (rest !== undefined && tools.isAddress(rest)) {
      if (how.unit !== undefined) throw new UsageError(`${name} has its own unit: remove --unit`);
      return { ...found, device: found.configured.name, places: this.#places(rest, how, `${name}/`) };
    }
    if (how.type !== undefined || how.order !== undefined || how.count !== undefined) {
      throw new UsageError(
        `${text} is configured: --type, --order and --count are for addresses, such as ${name}/holding:0`,
      );
    }
    const tags = rest === undefined ? found.configured.tags : [tagOf(found.configured, rest)];
    const places = tags.map((tag) => ({ label: `${name}/${tag.name}`, errand: tag.name, tag }));
    return { ...found, device: found.configured.name, places };
  }

  /** The one that was named, where only a line is wanted. @throws UsageError. */
  link(): LineLink {
    return this.#adHoc ?? this.#named();
  }

  /** Through the gateway that runs with the configuration; undefined where none does. Never connects. */
  async gatewayOf(link: LineLink, signal: AbortSignal): Promise<LineAccess | undefined> {
    signal.throwIfAborted();
    if (this.#adHoc || !this.config) return undefined;
    const path = await findControl(this.config.gateway.dataDir);
    return (await gatewayAnswers(path)) ? throughGateway(path, link.name, this.#tools.user) : undefined;
  }

  /** Connected; the same one for the same link. @throws NotConnectedError, ConfigError. */
  access(link: LineLink, signal: AbortSignal): Promise<LineAccess> {
    const known = this.#open.get(link.name);
    if (known) return known;
    const opening = this.#connect(link, signal);
    this.#open.set(link.name, opening);
    return opening;
  }

  /** Never rejects. */
  async close(): Promise<void> {
    for (const opening of this.#open.values()) {
      const access = await opening.catch(() => undefined);
      await access?.close();
    }
  }

  async #connect(link: LineLink, signal: AbortSignal): Promise<LineAccess> {
    const running = await this.gatewayOf(link, signal);
    if (running) return running;
    return await openDirect(link, this.#tools, signal);
  }

  #address(text: string, how: AdHoc): Target {
    const link = this.link();
    if (how.unit === undefined) throw new UsageError(`which unit is ${text} of? Add --unit 1`);
    const device = { name: `unit ${how.unit}`, options: { unit: how.unit, learn: false, ...timeoutIn(this.#values) } };
    return { link, device, configured: undefined, places: this.#places(text, how, `unit ${how.unit} `) };
  }

  #places(text: string, how: AdHoc, before: string): Target["places"] {
    const { placesOf, typeAt } = this.#tools;
    try {
      const type = how.type ?? typeAt(text);
      const order = how.order === undefined ? {} : { order: how.order };
      return placesOf(text, type, how.count ?? 1).map((address) => ({
        label: `${before}${address}`,
        errand: { name: address, options: { address, type, ...order } },
        tag: undefined,
      }));
    } catch (error) {
      if (error instanceof RangeError) throw new UsageError(error.message);
      throw error;
    }
  }

  #named(): LineLink {
    const links = this.config?.links.filter(({ driver }) => driver.name === this.#tools.modbus.name) ?? [];
    const { link: name } = this.#values;
    if (name === undefined) {
      const [only, ...more] = links;
      if (only && more.length === 0) return only;
      const names = links.map((link) => link.name).join(", ");
      throw new UsageError(
        links.length === 0
          ? "which line? Name it with --tcp HOST or --rtu PATH"
          : `which line? Name it with --link, one of ${names}; or write DEVICE/ADDRESS`,
      );
    }
    const found = links.find((link) => link.name === name);
    if (found) return found;
    throw new UsageError(
      `there is no modbus link "${name}"; there is ${links.map((link) => link.name).join(", ") || "none"}`,
    );
  }

  #device(name: string): { link: LineLink; configured: Device } {
    for (const link of this.config?.links ?? []) {
      const configured = link.devices.find((device) => device.name === name);
      if (configured) return { link, configured };
    }
    const names = this.config?.links.flatMap(({ devices }) => devices.map((device) => device.name)) ?? [];
    throw new UsageError(`there is no device "${name}"${hint(name, names)}`);
  }
}

/** @throws UsageError; ConfigFaults for a configuration that is wrong. */
export async function linesOf(values: LineValues, io: CliIo, tools: LineTools): Promise<Lines> {
  const transport = transportIn(values);
  if (transport) {
    if (values.config !== undefined) throw new UsageError("--config and a line of your own: one of them");
    return new Lines(undefined, adHocLink(transport, values, tools), { values, tools });
  }
  try {
    return new Lines(await tools.load(values.config ?? "millrace.yaml", io.cwd), undefined, { values, tools });
  } catch (error) {
    if (!(error instanceof ConfigFaults) || !error.noInput || values.config !== undefined) throw error;
    throw new UsageError(
      "there is no millrace.yaml here; name the configuration with --config FILE, or the line itself with --tcp HOST or --rtu PATH",
    );
  }
}

/** A modbus link of which only the transport is known. @throws UsageError. */
export function adHocLink(transport: Record<string, unknown>, values: LineValues, tools: LineTools): LineLink {
  const parsed = tools.modbus.linkSchema.safeParse({ transport, ...timeoutIn(values) });
  if (parsed.success) return { name: "line", driver: tools.modbus, options: parsed.data, devices: [] };
  const faults = parsed.error.issues.map(
    ({ path, message }) => `${path.filter((step) => step !== "transport").join(".")}: ${message}`,
  );
  throw new UsageError(faults.join("; "));
}

function tagOf(device: Device, name: string): Tag {
  const found = device.tags.find((tag) => tag.name === name);
  if (found) return found;
  if (device.derived?.some((tag) => tag.name === name)) {
    throw new UsageError(`${device.name}/${name} is worked out by the gateway from other tags: read those`);
  }
  const names = device.tags.map((tag) => tag.name);
  throw new UsageError(`device ${device.name} has no tag "${name}"${hint(name, names)}`);
}

function hint(name: string, names: readonly string[]): string {
  const [near] = [...names].sort((a, b) => distance(a, name) - distance(b, name));
  if (near !== undefined && distance(near, name) <= 3) return `; did you mean ${near}?`;
  if (names.length === 0) return "; the configuration has none";
  return `; there is ${names.slice(0, 10).join(", ")}${names.length > 10 ? ", …" : ""}`;
}
