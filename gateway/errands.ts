import type { LoadedConfig, LoadedLink } from "./config/types.ts";
import type { Auditor } from "./core/audit.ts";
import type { Device, TagWrite, WriteResult } from "./core/driver.ts";
import {
  checkWrite,
  type ErrandDesk,
  fromWire,
  limitsOf,
  type ReadAnswer,
  type ReadErrand,
  resolveErrand,
  toWire,
  type WriteAnswer,
  type WriteErrand,
} from "./core/errand.ts";
import { ConfigError, messageOf } from "./core/errors.ts";
import type { Logger } from "./core/log.ts";
import type { Link } from "./southbound/link.ts";

type Line = Pick<Link, "name" | "read" | "write">;

export interface ErrandOptions {
  /** Where writes are written down; absent where whoever asks does so. */
  readonly audit?: Auditor;
  /** Who writes, for the log; a local user by the control socket where it is absent. */
  readonly by?: (user: string) => string;
}

const byControlSocket = (user: string) => `local user ${user} by control socket`;

/** What people on this machine ask of the lines of a running gateway: shared with what is polled, never beside it. */
export class Errands implements ErrandDesk {
  readonly #config: Pick<LoadedConfig, "links">;
  readonly #lines: () => readonly Line[];
  readonly #log: Logger;
  readonly #how: ErrandOptions;

  /** `lines` run the links of the configuration. */
  constructor(config: Pick<LoadedConfig, "links">, lines: () => readonly Line[], log: Logger, how: ErrandOptions = {}) {
    this.#config = config;
    this.#lines = lines;
    this.#log = log;
    this.#how = how;
  }

  async read(errand: ReadErrand, signal: AbortSignal): Promise<ReadAnswer> {
    const { link, line } = this.#find(errand.link);
    const { device, tags } = resolveErrand(errand, link);
    const configured = errand.tags.every((tag) => typeof tag === "string") && link.devices.includes(device);
    const samples = await line.read(configured ? device.name : askedOnly(device), tags, signal);
    return {
      samples: samples.map(({ tag, quality, value, reason }) => ({
        tag,
        quality,
        ...(value === undefined ? {} : { value: toWire(value) }),
        ...(reason === undefined ? {} : { reason }),
      })),
    };
  }

  async write(errand: WriteErrand, signal: AbortSignal): Promise<WriteAnswer> {
    const { link, line } = this.#find(errand.link);
    const names = errand.writes.map(({ tag }) => tag);
    const { device, tags } = resolveErrand({ device: errand.device, tags: names }, link);
    const writes = errand.writes.flatMap(({ value }, at): TagWrite[] => {
      const tag = tags[at];
      return tag ? [{ tag, value: fromWire(value) }] : [];
    });
    const limits = writes.map(({ tag }) => limitsOf(link.driver, tag));
    const present = limits.some((each) => each?.maxStep !== undefined)
      ? await line.read(device.name, tags, signal)
      : undefined;
    for (const [at, write] of writes.entries()) checkWrite(device, write, limits[at], present);
    const { by: nameOf = byControlSocket } = this.#how;
    const by = nameOf(errand.user ?? "unknown");
    const about = { link: link.name, device: device.name, by };
    try {
      const results = await line.write(device.name, writes, signal);
      for (const result of results) {
        const { tag, ok, reason } = result;
        const before = result.before === undefined ? undefined : toWire(result.before);
        const after = result.after === undefined ? undefined : toWire(result.after);
        this.#log.info({ ...about, tag, ok, before, after, reason }, "tag written by hand");
      }
      await this.#tell(errand, results);
      return {
        results: results.map(({ before, after, ...rest }) => ({
          ...rest,
          ...(before === undefined ? {} : { before: toWire(before) }),
          ...(after === undefined ? {} : { after: toWire(after) }),
        })),
      };
    } catch (error) {
      this.#log.info({ ...about, tags: names, error: messageOf(error) }, "write by hand failed");
      await this.#tell(errand, messageOf(error));
      throw error;
    }
  }

  async #tell({ device, writes, user }: WriteErrand, outcome: string | readonly WriteResult[]): Promise<void> {
    const failed = typeof outcome === "string" ? outcome : outcome.find(({ ok }) => !ok)?.reason;
    const asked = writes.map(({ tag, value }) => `${tag}=${typeof value === "object" ? JSON.stringify(value) : value}`);
    await this.#how.audit?.record({
      actor: `local user ${user ?? "unknown"}`,
      action: "tag.write",
      target: device,
      outcome: failed === undefined ? "ok" : "failed",
      detail: [asked.join(" "), ...(failed === undefined ? [] : [failed])].join("; "),
    });
  }

  #find(name: string): { link: LoadedLink; line: Line } {
    const link = this.#config.links.find((one) => one.name === name);
    const line = this.#lines().find((one) => one.name === name);
    if (!link || !line) {
      throw new ConfigError(`the running gateway has no link ${name}: it was started with another configuration`);
    }
    return { link, line };
  }
}

/** What somebody tries out teaches nothing about the device. */
function askedOnly(device: Device): Device {
  const { options } = device;
  if (typeof options !== "object" || options === null || !("learn" in options)) return device;
  return { ...device, options: { ...options, learn: false } };
}
