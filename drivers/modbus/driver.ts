import type {
  Device,
  Driver,
  DriverContext,
  Profile,
  Request,
  Tag,
  TagWrite,
  WriteResult,
} from "../../gateway/core/driver.ts";
import { TimeoutError } from "../../gateway/core/driver.ts";
import { NotConnectedError } from "../../gateway/core/errors.ts";
import { type CounterRow, counterRow } from "../../gateway/core/metrics.ts";
import type { Sample } from "../../gateway/core/sample.ts";
import { type AskOptions, ExceptionError, ModbusClient } from "./client.ts";
import { type Ask, commandMs, isCommand } from "./command.ts";
import type { Learner } from "./learn/learner.ts";
import { Learners } from "./learn/learners.ts";
import { type DeviceOptions, hasIds, isSerial, type LinkOptions, readDevice } from "./options.ts";
import { planReads, pointOfTag } from "./plan/plan.ts";
import { ReadRequest } from "./plan/request.ts";
import { newPort } from "./ports/new-port.ts";
import { type CountFrame, type FrameKind, MalformedAnswerError, type StrictPort } from "./ports/port.ts";
import { refusal } from "./refusal.ts";
import { refusedSamples, samplesIn } from "./samples.ts";
import { type Question, questionOf, wireMs } from "./wire.ts";
import { Writer } from "./write/writer.ts";

const TARGET_SILENT = 11;
/** What the flight recorder keeps. Late answers and noise are part of every line's day. */
const FAULTS: Partial<Record<FrameKind, string>> = {
  malformed: "malformed answer",
  foreign: "foreign frame",
  crc: "bad checksum",
  framing: "no Modbus frames",
};

/** Modbus over one TCP session, one UDP socket or one serial line. */
export class ModbusDriver implements Driver {
  readonly concurrency: number;
  readonly #options: LinkOptions;
  readonly #context: DriverContext;
  readonly #devices = new WeakMap<Device, DeviceOptions>();
  #known: Learners | undefined;
  #maskless = new Set<number>();
  #client: ModbusClient | undefined;
  #connecting = new AbortController();

  constructor(options: LinkOptions, context: DriverContext) {
    this.#options = options;
    this.#context = context;
    this.concurrency = hasIds(options.transport) ? options.inFlight : 1;
  }

  plan(device: Device, tags: readonly Tag[], profile: Profile): ReadRequest[] {
    return planReads(device, tags, profile, this.#options.transport, this.#learners.of(device));
  }

  revision(device: Device): number {
    return this.#learners.of(device)?.revision ?? 0;
  }

  learnt(device: Device): unknown {
    return this.#learners.of(device)?.content;
  }

  async connect(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const closed = new AbortController();
    this.#connecting.abort(new NotConnectedError("connecting anew"));
    this.#connecting = closed;
    await this.#client?.close();
    const port = await this.#newPort();
    if (closed.signal.aborted) throw new NotConnectedError("closed while connecting");
    const { connectTimeout, guard, pauseAfterConnect } = this.#options;
    const client = new ModbusClient(port, { guardMs: guard });
    this.#client = client;
    this.#maskless = new Set();
    const bound = AbortSignal.any([signal, closed.signal]);
    await client.open(connectTimeout, bound);
    await client.pause(pauseAfterConnect, bound);
    this.#learners.reconnected();
  }

  heldMs(device: Device, what: Request | "probe" | "write"): number {
    const client = this.#client;
    if (!client?.holds) return 0;
    const options = this.#optionsOf(device);
    if (what === "write") return client.commandsMs(options.unit);
    const question = what instanceof ReadRequest ? what.question : this.#probeOf(device);
    return client.heldMs(question, mostOf(question, options));
  }

  async read(request: Request, signal: AbortSignal): Promise<Sample[]> {
    if (!(request instanceof ReadRequest)) throw new TypeError("the request is not from this driver's plan");
    const learner = this.#learners.of(request.device);
    const { clock } = this.#context;
    const startMs = clock.now().monoMs;
    let answer: Buffer | string;
    let monoMs: number;
    try {
      answer = await this.#ask(request.question, request.device, signal, learner);
      monoMs = clock.now().monoMs;
      learner?.answered(request, monoMs - startMs - this.#onWireMs(request.question));
    } catch (error) {
      learn(learner, request, error);
      answer = refusal(error);
      monoMs = clock.now().monoMs;
    }
    const samples =
      typeof answer === "string" ? refusedSamples(answer, request, monoMs) : samplesIn(answer, request, monoMs);
    if (request.excluded.length === 0) return samples;
    const refused = request.excluded.map(({ tag, reason }) => ({
      tag: tag.name,
      monoMs,
      quality: "bad" as const,
      reason,
    }));
    return [...samples, ...refused];
  }

  /** One register or bit of the device's first tag. A refusal shows that it is alive. */
  async probe(device: Device, signal: AbortSignal): Promise<void> {
    try {
      await this.#ask(this.#probeOf(device), device, signal);
    } catch (error) {
      refusal(error);
    }
    this.#learners.of(device)?.heard();
  }

  /** As `Writer` says. @throws as `read`, when nothing was written yet; later a fault is in the results. */
  async write(device: Device, writes: readonly TagWrite[], signal: AbortSignal): Promise<WriteResult[]> {
    signal.throwIfAborted();
    const parts = {
      client: this.#connected(),
      bounds: (ask: Ask) => this.#bounds(ask, device, signal),
      signal,
      maskless: this.#maskless,
    };
    return await new Writer(parts, device, this.#optionsOf(device)).write(writes);
  }

  async close(): Promise<void> {
    this.#connecting.abort(new NotConnectedError("closed while connecting"));
    await this.#client?.close();
  }

  get #learners(): Learners {
    this.#known ??= Learners.of(this.#options, this.#context);
    return this.#known;
  }

  #probeOf(device: Device): Question {
    const [first] = device.tags;
    const { area, index } = first ? pointOfTag(device, first).address : { area: "holding" as const, index: 0 };
    return questionOf(this.#optionsOf(device).unit, area, index, 1);
  }

  #ask(question: Question, device: Device, signal: AbortSignal, learner?: Learner): Promise<Buffer> {
    signal.throwIfAborted();
    return this.#connected().ask(question, this.#bounds(question, device, signal, learner));
  }

  #connected(): ModbusClient {
    if (!this.#client) throw new NotConnectedError("not connected");
    return this.#client;
  }

  /** Read once: every question needs them. */
  #optionsOf(device: Device): DeviceOptions {
    const known = this.#devices.get(device);
    if (known) return known;
    const options = readDevice(device.options);
    this.#devices.set(device, options);
    return options;
  }

  #bounds(ask: Ask, device: Device, signal: AbortSignal, learner?: Learner): AskOptions {
    const options = this.#optionsOf(device);
    const configuredMs = options.timeout ?? this.#options.timeout;
    const waitMs = learner?.timeoutMs(configuredMs) ?? configuredMs;
    return { timeoutMs: waitMs + this.#onWireMs(ask), signal, most: mostOf(ask, options) };
  }

  /** What a unit cannot be blamed for. */
  #onWireMs(ask: Ask): number {
    const { transport } = this.#options;
    if (!isSerial(transport)) return 0;
    return isCommand(ask) ? commandMs(transport, ask) : wireMs(transport, ask);
  }

  async #newPort(): Promise<StrictPort> {
    const { link, metrics, tap } = this.#context;
    const frames = metrics.counter("millrace_modbus_frames_total", "Modbus frames received, by what became of them.", [
      "link",
      "kind",
    ]);
    const rows = new Map<FrameKind, CounterRow>();
    const rowOf = (kind: FrameKind) => {
      const row = rows.get(kind) ?? counterRow(frames, { link, kind });
      rows.set(kind, row);
      return row;
    };
    const count: CountFrame = (kind) => {
      rowOf(kind).inc();
      const fault = tap && FAULTS[kind];
      if (fault) tap.fault(fault);
    };
    return await newPort(this.#options, count, tap);
  }
}

function mostOf(ask: Ask, { maxCoils, maxRegisters }: DeviceOptions): number {
  return ask.functionCode <= 2 ? maxCoils : maxRegisters;
}

function learn(learner: Learner | undefined, request: ReadRequest, error: unknown): void {
  if (error instanceof ExceptionError && error.exceptionCode !== TARGET_SILENT) {
    learner?.refused(request, error.exceptionCode);
  } else if (error instanceof TimeoutError || error instanceof MalformedAnswerError) {
    learner?.silent(request);
  }
}
