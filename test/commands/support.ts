import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Commands } from "../../gateway/commands/commands.ts";
import type { Target } from "../../gateway/commands/target.ts";
import type { Clock, ClockState } from "../../gateway/core/clock.ts";
import type { Device, Tag, TagWrite, WriteLimits, WriteResult } from "../../gateway/core/driver.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { commandOptions } from "../../gateway/core/options/commands.ts";
import type { Recipe } from "../../gateway/core/recipe.ts";
import type { Sample, Value } from "../../gateway/core/sample.ts";
import { MemoryQueue } from "../fakes/memory-queue.ts";

export const NOW = 1_780_000_000_000;

/** A clock that stands until it is moved; its monotonic time runs on. */
export class TestClock implements Clock {
  readonly bootId = "boot";
  wallMs = NOW;
  monoMs = 0;
  state: ClockState = "synced";
  now() {
    return { wallMs: this.wallMs, monoMs: this.monoMs + performance.now(), clock: this.state };
  }
}

/** A device in memory: holds values, counts writes, and fails as it is told. */
export class MemoryDevice implements Target {
  readonly device: Device;
  readonly held = new Map<string, Value>();
  readonly written: { tag: string; value: Value }[] = [];
  /** Thrown by the next calls, one each. */
  readonly failures: Error[] = [];
  readonly limitsOf: Readonly<Record<string, WriteLimits>>;
  /** Called when a write is on the wire; it ends when the promise does. */
  onWire: () => Promise<void> = () => Promise.resolve();

  constructor(name: string, limits: Readonly<Record<string, WriteLimits>>, readOnly: readonly string[] = []) {
    this.limitsOf = limits;
    const tag = (one: string): Tag => ({ name: one, everyMs: 1000, stream: "telemetry", type: "uint16", options: {} });
    const tags = [...Object.keys(limits), ...readOnly].map(tag);
    this.device = { name, link: "line", topic: `plant/${name}`, tags, options: {} };
    for (const one of tags) this.held.set(one.name, 0);
  }

  limits(tag: Tag): WriteLimits | undefined {
    return this.limitsOf[tag.name];
  }

  async write(writes: readonly TagWrite[], signal: AbortSignal): Promise<WriteResult[]> {
    signal.throwIfAborted();
    const failure = this.failures.shift();
    if (failure) throw failure;
    await this.onWire();
    return writes.map(({ tag, value }) => {
      const before = this.held.get(tag.name) ?? 0;
      this.held.set(tag.name, value);
      this.written.push({ tag: tag.name, value });
      return { tag: tag.name, ok: true, before, after: value };
    });
  }

  async read(tags: readonly Tag[], signal: AbortSignal): Promise<Sample[]> {
    await Promise.resolve();
    signal.throwIfAborted();
    return tags.map(({ name }) => ({ tag: name, quality: "good", value: this.held.get(name) ?? 0, monoMs: 0 }));
  }
}

/** Held on to: what is collected would close its file with a warning. */
const abandoned: Commands[] = [];

/** A folder, a queue and devices that outlive the commands on them. */
export class Plant {
  readonly clock = new TestClock();
  readonly queue = new MemoryQueue();
  readonly published: { topic: string; body: Record<string, unknown>; correlation?: string }[] = [];
  readonly results: { topic: string; body: Record<string, unknown>; seq: number }[] = [];
  dataDir = "";
  /** As if what is in the queue had never come there. */
  forgetful = false;
  readonly #lives: Commands[] = [];

  async open(): Promise<this> {
    this.dataDir = await mkdtemp(join(tmpdir(), "commands-"));
    await this.queue.start();
    await this.queue.open("cloud", {
      selector: { text: "#", matches: () => true },
      from: "oldest",
      required: true,
    });
    return this;
  }

  async close(): Promise<void> {
    for (const life of this.#lives) await life.stop();
    await rm(this.dataDir, { recursive: true, force: true });
  }

  commands(targets: readonly Target[], options: object = {}, recipes: readonly Recipe[] = []): Commands {
    const commands = new Commands({
      recipes,
      options: commandOptions.parse(options),
      dataDir: this.dataDir,
      targets,
      queue: this.queue,
      isQueued: async (topic, body, seq) => {
        if (this.forgetful) return false;
        await this.take();
        return this.results.some((one) => one.seq >= seq && one.topic === topic && JSON.stringify(one.body) === body);
      },
      publish: (topic, payload, correlation) =>
        this.published.push({ topic, body: bodyOf(payload), ...(correlation === undefined ? {} : { correlation }) }),
      clock: this.clock,
      log: silentLogger,
      metrics: noMetrics,
    });
    this.#lives.push(commands);
    return commands;
  }

  /** Forgets a life that hangs, as a kill would. */
  abandon(): void {
    const life = this.#lives.pop();
    if (life) abandoned.push(life);
  }

  /** Takes what is in the queue over into `results`. */
  async take(): Promise<void> {
    const stats = this.queue.stats().streams.events;
    while (this.results.length < stats.nextSeq - 1) {
      const want = { stream: "events" as const, lane: "fifo" as const, maxRecords: 100, maxBytes: 1e6 };
      const entries = await this.queue.read("cloud", want, AbortSignal.timeout(1000));
      for (const { seq, content } of entries) {
        if (content.kind === "message") this.results.push({ seq, topic: content.topic, body: bodyOf(content.payload) });
      }
      await this.queue.settle(
        "cloud",
        "events",
        entries.map(({ seq }) => seq),
      );
    }
  }
}

export function command(id: string, values: object, over: object = {}): Buffer {
  return Buffer.from(JSON.stringify({ id, expires: NOW + 60_000, values, ...over }));
}

function bodyOf(payload: Uint8Array): Record<string, unknown> {
  return Object.fromEntries(Object.entries(JSON.parse(Buffer.from(payload).toString("utf8"))));
}
