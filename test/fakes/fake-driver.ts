import {
  type Device,
  type Driver,
  type Request,
  type Tag,
  type TagWrite,
  TimeoutError,
  type WriteResult,
} from "../../gateway/core/driver.ts";
import { ConfigError, NotConnectedError } from "../../gateway/core/errors.ts";
import type { Sample, Value } from "../../gateway/core/sample.ts";

/** What a device on a fake wire does with a question. `deaf`: neither answers nor gives up, not even when aborted. */
export type Behaviour = "answer" | "silent" | "hang" | "deaf" | Error;

/** One transaction as it was on the wire; times are monotonic milliseconds. */
export interface Transaction {
  readonly device: string;
  readonly what: string;
  readonly startMs: number;
  endMs: number;
  outcome: string;
}

export interface FakeTime {
  nowMs(): number;
  after(delayMs: number, run: () => void): () => void;
}

/** The wire that all fake drivers of a link share: it outlives them, as a cable does. */
export class FakeWire {
  readonly transactions: Transaction[] = [];
  readonly drivers: FakeDriver[] = [];
  readonly devices = new Map<string, Behaviour>();
  /** Until when a device must not be asked, by its name, or by its name and `probe`, `write` or the label of a request. */
  readonly heldUntilMs = new Map<string, number>();
  /** What `connect` does. */
  connecting: "accept" | "refuse" | "hang" | "misconfigured" = "accept";
  replyMs = 5;
  timeoutMs = 250;
  /** Tags per request. */
  perRequest = 100;
  concurrency = 1;
  probes = true;
  /** Most transactions that were on the wire at once. */
  most = 0;
  value: (tag: Tag) => Value = () => 1;
  readonly time: FakeTime;

  constructor(time: FakeTime) {
    this.time = time;
  }

  /** A new driver, as a link wants one for each attempt. */
  driver(): Driver {
    const driver = new FakeDriver(this);
    this.drivers.push(driver);
    if (this.probes) return driver;
    const { plan, connect, heldMs, read, close } = driver;
    return {
      concurrency: driver.concurrency,
      plan: plan.bind(driver),
      connect: connect.bind(driver),
      heldMs: heldMs.bind(driver),
      read: read.bind(driver),
      close: close.bind(driver),
    };
  }

  /** The cable is pulled: whoever is connected notices. */
  cut(): void {
    for (const driver of this.drivers) driver.cut();
  }
}

export class FakeDriver implements Driver {
  readonly concurrency: number;
  readonly #wire: FakeWire;
  readonly #inFlight = new Set<(error: Error) => void>();
  #connected = false;
  closed = 0;

  constructor(wire: FakeWire) {
    this.#wire = wire;
    this.concurrency = wire.concurrency;
  }

  plan(device: Device, tags: readonly Tag[]): Request[] {
    const requests: Request[] = [];
    const bad = tags.find((tag) => tag.type === "unplannable");
    if (bad) throw new ConfigError(`tag ${bad.name} cannot be planned`);
    for (let at = 0; at < tags.length; at += this.#wire.perRequest) {
      const part = tags.slice(at, at + this.#wire.perRequest);
      requests.push({ device, tags: part, label: part.map((tag) => tag.name).join(" "), wireMs: this.#wire.replyMs });
    }
    return requests;
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.closed > 0) throw new NotConnectedError("closed");
    const how = this.#wire.connecting;
    if (how === "refuse") throw new NotConnectedError("refused");
    if (how === "misconfigured") throw new ConfigError("no such port");
    if (how === "hang") await this.#wait("connect", Number.POSITIVE_INFINITY, signal);
    this.#connected = true;
  }

  heldMs(device: Device, what: Request | "probe" | "write"): number {
    const { heldUntilMs, time } = this.#wire;
    const label = typeof what === "string" ? what : what.label;
    const untilMs = heldUntilMs.get(`${device.name} ${label}`) ?? heldUntilMs.get(device.name) ?? 0;
    return Math.max(0, untilMs - time.nowMs());
  }

  async read(request: Request, signal: AbortSignal): Promise<Sample[]> {
    await this.#transact(request.device.name, request.label, signal);
    const monoMs = this.#wire.time.nowMs();
    return request.tags.map((tag) => ({ tag: tag.name, quality: "good", value: this.#wire.value(tag), monoMs }));
  }

  async write(device: Device, writes: readonly TagWrite[], signal: AbortSignal): Promise<WriteResult[]> {
    await this.#transact(
      device.name,
      `write ${writes.map(({ tag, value }) => `${tag.name}=${value}`).join(" ")}`,
      signal,
    );
    return writes.map(({ tag, value }) => ({ tag: tag.name, ok: true, after: value }));
  }

  async probe(device: Device, signal: AbortSignal): Promise<void> {
    await this.#transact(device.name, "probe", signal);
  }

  close(): Promise<void> {
    this.closed++;
    this.cut();
    return Promise.resolve();
  }

  cut(): void {
    this.#connected = false;
    for (const fail of this.#inFlight) fail(new NotConnectedError("connection lost"));
  }

  async #transact(device: string, what: string, signal: AbortSignal): Promise<void> {
    if (!this.#connected) throw new NotConnectedError("not connected");
    const { time, transactions, devices, replyMs, timeoutMs } = this.#wire;
    const entry: Transaction = { device, what, startMs: time.nowMs(), endMs: Number.NaN, outcome: "open" };
    transactions.push(entry);
    const open = transactions.filter((each) => each.outcome === "open").length;
    this.#wire.most = Math.max(this.#wire.most, open);
    const behaviour = devices.get(device) ?? "answer";
    try {
      if (behaviour instanceof Error) throw behaviour;
      if (behaviour === "answer") await this.#wait(what, replyMs, signal);
      else if (behaviour === "hang") await this.#wait(what, Number.POSITIVE_INFINITY, signal);
      else if (behaviour === "deaf") await new Promise<never>(() => {});
      else {
        await this.#wait(what, timeoutMs, signal);
        throw new TimeoutError("no answer");
      }
      entry.outcome = "answered";
    } catch (error) {
      entry.outcome = error instanceof Error ? error.name : "failed";
      throw error;
    } finally {
      entry.endMs = time.nowMs();
    }
  }

  async #wait(_what: string, ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    let cancel = () => {};
    let abort = () => {};
    let fail: (error: Error) => void = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        fail = reject;
        abort = () => reject(signal.reason);
        this.#inFlight.add(fail);
        signal.addEventListener("abort", abort);
        if (Number.isFinite(ms)) cancel = this.#wire.time.after(ms, resolve);
      });
    } finally {
      cancel();
      signal.removeEventListener("abort", abort);
      this.#inFlight.delete(fail);
    }
  }
}
