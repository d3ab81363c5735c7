import type { Device, Driver, DriverContext, Request, Tag } from "../../gateway/core/driver.ts";
import { ConfigError, NotConnectedError } from "../../gateway/core/errors.ts";
import type { Sample } from "../../gateway/core/sample.ts";
import { type LinkSettings, readTag, type TagSettings } from "./options.ts";
import { valueAt } from "./wave.ts";

/** A plant in software: every device answers, after a fixed time, with values that follow the wall clock. */
export class SimulatedDriver implements Driver {
  readonly concurrency = 1;
  readonly #link: LinkSettings;
  readonly #context: DriverContext;
  readonly #hangUps = new Set<() => void>();
  readonly #settings = new WeakMap<Tag, TagSettings>();
  #connected = false;

  constructor(link: LinkSettings, context: DriverContext) {
    this.#link = link;
    this.#context = context;
  }

  plan(device: Device, tags: readonly Tag[]): Request[] {
    if (tags.length === 0) return [];
    for (const tag of tags) this.#of(tag);
    const label = `${tags.length} simulated ${tags.length === 1 ? "value" : "values"}`;
    return [{ device, tags, label, wireMs: this.#link.replyTime }];
  }

  async connect(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#connected = true;
    await Promise.resolve();
  }

  async read(request: Request, signal: AbortSignal): Promise<Sample[]> {
    await this.#answer(signal);
    const { wallMs, monoMs } = this.#context.clock.now();
    return request.tags.map((tag) => {
      const key = `${request.device.name}/${tag.name}`;
      return { tag: tag.name, quality: "good", value: valueAt(this.#of(tag), this.#link.seed, key, wallMs), monoMs };
    });
  }

  async probe(_device: Device, signal: AbortSignal): Promise<void> {
    await this.#answer(signal);
  }

  close(): Promise<void> {
    this.#connected = false;
    for (const hangUp of this.#hangUps) hangUp();
    return Promise.resolve();
  }

  #of(tag: Tag): TagSettings {
    const known = this.#settings.get(tag);
    if (known) return known;
    const settings = readTag(tag.options, tag.name);
    if (settings.min > settings.max) throw new ConfigError(`tag "${tag.name}": max is below min`);
    this.#settings.set(tag, settings);
    return settings;
  }

  async #answer(signal: AbortSignal): Promise<void> {
    if (!this.#connected) throw new NotConnectedError("not connected");
    signal.throwIfAborted();
    let finish = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        const hangUp = () => reject(new NotConnectedError("closed"));
        const abort = () => reject(signal.reason);
        const timer = setTimeout(resolve, this.#link.replyTime);
        this.#hangUps.add(hangUp);
        signal.addEventListener("abort", abort);
        finish = () => {
          clearTimeout(timer);
          this.#hangUps.delete(hangUp);
          signal.removeEventListener("abort", abort);
        };
      });
    } finally {
      finish();
    }
  }
}
