import type { Device, Driver, DriverContext, Profile, Request, Tag } from "../../gateway/core/driver.ts";
import { TimeoutError } from "../../gateway/core/driver.ts";
import { ConfigError, messageOf, NotConnectedError } from "../../gateway/core/errors.ts";
import type { Sample } from "../../gateway/core/sample.ts";
import { AREAS } from "./address.ts";
import { ExceptionError, ModbusClient } from "./client.ts";
import type { Decoded } from "./codec/codec.ts";
import type { Learner } from "./learn/learner.ts";
import { Learners } from "./learn/learners.ts";
import { type LinkOptions, readDevice } from "./options.ts";
import { planReads, pointOfTag } from "./plan/plan.ts";
import { ReadRequest, type TaggedPoint } from "./plan/request.ts";
import { readRegisters } from "./point.ts";
import { MalformedAnswerError, type StrictPort } from "./ports/port.ts";
import { TcpPort } from "./ports/tcp.ts";
import { type Question, questionOf, wireMs } from "./wire.ts";

/** The words of MODBUS Application Protocol V1.1b3, 7. */
const EXCEPTIONS: Readonly<Record<number, string>> = {
  1: "illegal function",
  2: "illegal data address",
  3: "illegal data value",
  4: "server device failure",
  5: "acknowledge: answer comes later",
  6: "server device busy",
  7: "negative acknowledge",
  8: "memory parity error",
  10: "gateway path unavailable",
  11: "gateway target device failed to respond",
};
const TARGET_SILENT = 11;

/** The least time a late answer on a serial line is reckoned with. */
const LATE_MS = 1000;

/** Modbus over one TCP session or one serial line. */
export class ModbusDriver implements Driver {
  readonly concurrency = 1;
  readonly #options: LinkOptions;
  readonly #context: DriverContext;
  #known: Learners | undefined;
  #client: ModbusClient | undefined;
  #connecting = new AbortController();

  constructor(options: LinkOptions, context: DriverContext) {
    this.#options = options;
    this.#context = context;
  }

  plan(device: Device, tags: readonly Tag[], profile: Profile): ReadRequest[] {
    return planReads(device, tags, profile, this.#options.transport, this.#learners.of(device));
  }

  revision(device: Device): number {
    return this.#learners.of(device)?.revision ?? 0;
  }

  async connect(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const closed = new AbortController();
    this.#connecting.abort(new NotConnectedError("connecting anew"));
    this.#connecting = closed;
    await this.#client?.close();
    const port = await this.#newPort();
    if (closed.signal.aborted) throw new NotConnectedError("closed while connecting");
    const client = new ModbusClient(port);
    this.#client = client;
    await client.open(this.#options.connectTimeout, AbortSignal.any([signal, closed.signal]));
    this.#learners.reconnected();
  }

  async read(request: Request, signal: AbortSignal): Promise<Sample[]> {
    if (!(request instanceof ReadRequest)) throw new TypeError("the request is not from this driver's plan");
    const learner = this.#learners.of(request.device);
    const { clock } = this.#context;
    const startMs = clock.now().monoMs;
    let answer: Buffer | string;
    try {
      answer = await this.#ask(request.question, request.timeoutMs, signal, learner);
      learner?.answered(request, clock.now().monoMs - startMs - this.#onWireMs(request.question));
    } catch (error) {
      learn(learner, request, error);
      answer = refusal(error);
    }
    const { monoMs } = clock.now();
    const samples = request.points.map((item) => {
      const decoded = typeof answer === "string" ? { reason: answer } : valueIn(answer, item, request.question);
      return { tag: item.tag.name, monoMs, ...qualityOf(decoded) };
    });
    const reason = "illegal data address";
    const refused = request.refused.map((tag) => ({ tag: tag.name, monoMs, quality: "bad" as const, reason }));
    return [...samples, ...refused];
  }

  /** One register or bit of the device's first tag. A refusal shows that it is alive. */
  async probe(device: Device, signal: AbortSignal): Promise<void> {
    const { unit, timeout } = readDevice(device.options);
    const [first] = device.tags;
    const { area, index } = first ? pointOfTag(device, first).address : { area: "holding" as const, index: 0 };
    try {
      await this.#ask(questionOf(unit, area, index, 1), timeout, signal);
    } catch (error) {
      refusal(error);
    }
    this.#learners.of(device)?.heard();
  }

  async close(): Promise<void> {
    this.#connecting.abort(new NotConnectedError("closed while connecting"));
    await this.#client?.close();
  }

  get #learners(): Learners {
    this.#known ??= Learners.of(this.#options, this.#context);
    return this.#known;
  }

  async #ask(
    question: Question,
    timeoutMs: number | undefined,
    signal: AbortSignal,
    learner?: Learner,
  ): Promise<Buffer> {
    signal.throwIfAborted();
    if (!this.#client) throw new NotConnectedError("not connected");
    const configuredMs = timeoutMs ?? this.#options.timeout;
    const waitMs = learner?.timeoutMs(configuredMs) ?? configuredMs;
    return await this.#client.ask(question, { timeoutMs: waitMs + this.#onWireMs(question), signal });
  }

  /** What a unit cannot be blamed for. */
  #onWireMs(question: Question): number {
    const { transport } = this.#options;
    return "baud" in transport ? wireMs(transport, question) : 0;
  }

  async #newPort(): Promise<StrictPort> {
    const { timeout, transport } = this.#options;
    const { link, metrics } = this.#context;
    const frames = metrics.counter("millrace_modbus_frames_total", "Modbus frames received, by what became of them.", [
      "link",
      "kind",
    ]);
    const count = (kind: string) => frames.inc({ link, kind });
    if (transport.type === "tcp") return new TcpPort(transport, count);
    const { RtuPort } = await loadRtu();
    return new RtuPort(transport, Math.max(LATE_MS, 2 * timeout), count);
  }
}

/** Loaded when first needed, so that a gateway without serial lines needs no native library for them. */
async function loadRtu(): Promise<typeof import("./ports/rtu.ts")> {
  try {
    return await import("./ports/rtu.ts");
  } catch (error) {
    throw new ConfigError(`serial ports cannot be used on this machine: ${messageOf(error)}`, { cause: error });
  }
}

function learn(learner: Learner | undefined, request: ReadRequest, error: unknown): void {
  if (error instanceof ExceptionError && error.exceptionCode !== TARGET_SILENT) {
    learner?.refused(request, error.exceptionCode);
  } else if (error instanceof TimeoutError || error instanceof MalformedAnswerError) {
    learner?.silent(request);
  }
}

/**
 * The reason for `bad`, where the unit itself answered.
 * @throws what it is given in every other case; TimeoutError when a gateway says that the unit behind it is silent, so
 * that this counts as the silence it is.
 */
function refusal(error: unknown): string {
  if (error instanceof MalformedAnswerError) return "malformed answer";
  if (!(error instanceof ExceptionError)) throw error;
  const reason = EXCEPTIONS[error.exceptionCode] ?? error.message;
  if (error.exceptionCode === TARGET_SILENT) throw new TimeoutError(reason, { cause: error });
  return reason;
}

function valueIn(answer: Buffer, { point }: TaggedPoint, question: Question): Decoded {
  const offset = point.address.index - question.address;
  if (!AREAS[point.address.area].bits) return readRegisters(point, answer.subarray(offset * 2));
  return { value: (((answer[offset >> 3] ?? 0) >> (offset & 7)) & 1) === 1 };
}

function qualityOf(decoded: Decoded): Pick<Sample, "quality" | "value" | "reason"> {
  return "value" in decoded ? { quality: "good", value: decoded.value } : { quality: "bad", reason: decoded.reason };
}
