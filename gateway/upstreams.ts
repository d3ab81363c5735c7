import type { LoadedConfig, LoadedUplink } from "./config/types.ts";
import type { Queue } from "./core/queue.ts";
import { selectorOf } from "./core/selector.ts";
import type { Worker } from "./core/work.ts";
import type { ForwarderStatus } from "./northbound/forwarder.ts";
import type { Moves } from "./reload/plan.ts";
import { type RunningUplink, selectionOf } from "./uplinks.ts";

/** The uplinks that run, each with its place in the queue. */
export class Upstreams {
  readonly #queue: Pick<Queue, "open">;
  readonly #make: (uplink: LoadedUplink) => RunningUplink;
  readonly #running = new Map<string, RunningUplink>();
  #order: readonly string[] = [];

  constructor(queue: Pick<Queue, "open">, make: (uplink: LoadedUplink) => RunningUplink) {
    this.#queue = queue;
    this.#make = make;
  }

  /** Gives each its place, before anything is stored. @throws StorageError. */
  async enrol(config: LoadedConfig): Promise<void> {
    for (const uplink of config.uplinks) await this.#open(uplink, config);
  }

  /** @throws StorageError when one does not start. */
  async start({ uplinks }: LoadedConfig): Promise<void> {
    this.#order = uplinks.map(({ name }) => name);
    for (const uplink of uplinks) await this.#begin(uplink);
  }

  /** Ends those that go and those that are made anew: what they were sending is sent again. */
  async end({ stop }: Moves): Promise<void> {
    await Promise.all(
      [...stop].map(async (name) => {
        await this.#running.get(name)?.stop();
        this.#running.delete(name);
      }),
    );
  }

  /** Starts those of a configuration that come or are made anew. @throws StorageError. */
  async begin(config: LoadedConfig, names: ReadonlySet<string>): Promise<void> {
    this.#order = config.uplinks.map(({ name }) => name);
    for (const uplink of config.uplinks) {
      if (!names.has(uplink.name)) continue;
      await this.#open(uplink, config);
      await this.#begin(uplink);
    }
  }

  /** In the order of the configuration. */
  status(): ForwarderStatus[] {
    return this.#order.flatMap((name) => this.#running.get(name)?.status() ?? []);
  }

  get workers(): readonly Worker[] {
    return [...this.#running.values()].map(({ worker }) => worker);
  }

  /** Idempotent, never rejects. */
  async stop(): Promise<void> {
    await Promise.all([...this.#running.values()].map((uplink) => uplink.stop()));
  }

  async #begin(uplink: LoadedUplink): Promise<void> {
    const running = this.#make(uplink);
    this.#running.set(uplink.name, running);
    await running.start();
  }

  async #open(uplink: LoadedUplink, config: LoadedConfig): Promise<void> {
    const { name, from, required, maxBacklog } = uplink.shared;
    await this.#queue.open(name, {
      selector: selectorOf(selectionOf(uplink, config)),
      from,
      required,
      maxBacklog: { bytes: maxBacklog.bytes, ageMs: maxBacklog.age },
      retainMs: maxBacklog.retain,
    });
  }
}
