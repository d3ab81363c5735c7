import type {
  Device,
  Driver,
  DriverContext,
  Emit,
  Profile,
  Request,
  Tag,
  TagWrite,
  WriteResult,
} from "../../gateway/core/driver.ts";
import { ConfigError, messageOf, NotConnectedError } from "../../gateway/core/errors.ts";
import type { Sample } from "../../gateway/core/sample.ts";
import { answerBytes } from "./answer.ts";
import type { BytesSpec } from "./bytes.ts";
import { type Answer, Conversation, notConnected } from "./conversation.ts";
import type { FaultKind } from "./framing/framer.ts";
import { TelegramStream, telegramsIn } from "./framing/stream.ts";
import type { Line, LineEvents } from "./lines/line.ts";
import { ListenLine } from "./lines/listen-line.ts";
import { TcpLine } from "./lines/tcp-line.ts";
import { type Heard, Listener } from "./listener.ts";
import type { LinkOptions } from "./options.ts";
import type { Fields } from "./parse/parser.ts";
import { Talker } from "./parse/talker.ts";
import { AskRequest, planAsks } from "./plan.ts";
import { Reporter } from "./reporter.ts";
import { bytesToWrite, refused } from "./write.ts";

/** What makes a telegram's tags bad; the rest is only counted and told. */
const SPOILS: Partial<Record<FaultKind, string>> = { "too-long": "telegram too long", checksum: "wrong checksum" };

/** Devices that speak in telegrams, when asked or by themselves, over a serial port or TCP. */
export class SerialDriver implements Driver {
  readonly concurrency = 1;
  readonly #options: LinkOptions;
  readonly #context: DriverContext;
  readonly #reporter: Reporter;
  readonly #talkers = new WeakMap<Device, Talker>();
  readonly #listeners = new Map<Listener, (reason: Error) => void>();
  #conversation = new Conversation();
  #streams = new Map<number, TelegramStream>();
  #line: Line | undefined;
  #open = false;
  #attempt = 0;

  constructor(options: LinkOptions, context: DriverContext) {
    this.#options = options;
    this.#context = context;
    this.#reporter = new Reporter(context);
  }

  plan(device: Device, tags: readonly Tag[], _profile?: Profile): Request[] {
    return planAsks(this.#talker(device), tags, this.#options);
  }

  async connect(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.close();
    const attempt = this.#attempt;
    const line = await this.#newLine(attempt);
    if (attempt !== this.#attempt) throw new NotConnectedError("closed while connecting");
    this.#line = line;
    this.#conversation = new Conversation();
    const abort = () => void line.close();
    signal.addEventListener("abort", abort);
    try {
      await line.open();
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener("abort", abort);
    }
    signal.throwIfAborted();
    if (attempt !== this.#attempt) throw new NotConnectedError("closed while connecting");
    this.#open = true;
    this.#context.tap?.opened();
  }

  async read(request: Request, signal: AbortSignal): Promise<Sample[]> {
    if (!(request instanceof AskRequest)) throw new TypeError("the request is not from this driver's plan");
    const { talker, tags } = request;
    const answer = await this.#ask(talker, request.question, signal);
    const { monoMs } = this.#context.clock.now();
    if ("unreadable" in answer) return talker.bad(tags, answer.unreadable, monoMs);
    return talker.samples(tags, answer.fields, monoMs);
  }

  /** Whatever the device answers shows that it is there. One that is only listened to cannot be asked. */
  async probe(device: Device, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#open) throw notConnected();
    const talker = this.#talker(device);
    const question = device.tags.map((tag) => talker.question(tag)).find((each) => each !== undefined);
    if (question) await this.#ask(talker, question, signal);
  }

  listen(device: Device, tags: readonly Tag[], emit: Emit, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    if (!this.#open) return Promise.reject(notConnected());
    const { clock } = this.#context;
    const listener = new Listener({ talker: this.#talker(device), tags, emit, nowMs: () => clock.now().monoMs });
    return new Promise<void>((resolve, reject) => {
      const finish = () => {
        signal.removeEventListener("abort", leave);
        this.#listeners.delete(listener);
        listener.stop();
      };
      const leave = () => {
        finish();
        resolve();
      };
      signal.addEventListener("abort", leave);
      this.#listeners.set(listener, (reason) => {
        finish();
        reject(reason);
      });
      listener.start();
    });
  }

  /** Sends each value in its template. That the device took it cannot be known: `ok` means that it was sent. */
  write(device: Device, writes: readonly TagWrite[], signal: AbortSignal): Promise<WriteResult[]> {
    if (signal.aborted) return Promise.reject(signal.reason);
    const line = this.#line;
    if (!this.#open || !line) return Promise.reject(notConnected());
    const talker = this.#talker(device);
    const results = writes.map((write): WriteResult => {
      const bytes = bytesToWrite(talker, write);
      if ("reason" in bytes) return refused(write.tag.name, bytes.reason);
      this.#send(line, bytes);
      return { tag: write.tag.name, ok: true };
    });
    return Promise.resolve(results);
  }

  async close(): Promise<void> {
    this.#attempt++;
    this.#lost(new NotConnectedError("closed"));
    const line = this.#line;
    this.#line = undefined;
    await line?.close();
  }

  #talker(device: Device): Talker {
    const known = this.#talkers.get(device);
    if (known) return known;
    const talker = new Talker(device, this.#options);
    this.#talkers.set(device, talker);
    return talker;
  }

  async #ask(talker: Talker, question: Buffer, signal: AbortSignal): Promise<Answer> {
    signal.throwIfAborted();
    const line = this.#line;
    if (!this.#open || !line) throw notConnected();
    const echoes = telegramsIn(question, this.#options.framing);
    const send = () => {
      for (const stream of this.#streams.values()) stream.reset();
      this.#send(line, question);
    };
    return await this.#conversation.ask(talker, echoes, send, signal);
  }

  async #newLine(attempt: number): Promise<Line> {
    const current = (): boolean => attempt === this.#attempt;
    const events: LineEvents = {
      data: (chunk, peer) => current() && this.#data(chunk, peer),
      left: (peer) => current() && this.#leave(peer),
      closed: (reason) => current() && this.#lost(reason),
    };
    const { transport } = this.#options;
    if (transport.type === "tcp") return new TcpLine(transport, events);
    if (transport.type === "tcp-listen")
      return new ListenLine(transport, events, () => this.#reporter.count("refused"));
    const { SerialLine } = await loadSerial();
    return new SerialLine(transport, events);
  }

  #send(line: Line, bytes: Buffer, peer?: number): void {
    this.#context.tap?.sent(bytes);
    line.write(bytes, peer);
  }

  #data(chunk: Buffer, peer: number): void {
    this.#context.tap?.received(chunk, peer);
    this.#reporter.received(chunk.length);
    this.#stream(peer).take(chunk);
  }

  #stream(peer: number): TelegramStream {
    const known = this.#streams.get(peer);
    if (known) return known;
    const stream = new TelegramStream(this.#options.framing, {
      telegram: (bytes) => this.#telegram(bytes, peer),
      fault: (kind, bytes) => this.#fault(kind, bytes, peer),
    });
    this.#streams.set(peer, stream);
    return stream;
  }

  #leave(peer: number): void {
    this.#streams.get(peer)?.reset();
    this.#streams.delete(peer);
  }

  #lost(reason: NotConnectedError): void {
    if (this.#open) this.#context.tap?.closed(reason.message);
    this.#open = false;
    for (const peer of this.#streams.keys()) this.#leave(peer);
    this.#conversation.hangUp(reason);
    for (const end of [...this.#listeners.values()]) end(reason);
  }

  #telegram(bytes: Buffer, peer: number): void {
    const found = this.#conversation.hear(bytes);
    if (typeof found === "string") {
      this.#reporter.count(found === "answer" ? "taken" : found);
      return;
    }
    let reason = found.other;
    for (const listener of this.#readers()) {
      const parsed = listener.talker.parser.parse(bytes);
      if ("fields" in parsed) {
        this.#reporter.count(this.#heard(listener, parsed.fields, peer));
        return;
      }
      reason ??= parsed.reason;
    }
    if (reason === undefined) this.#reporter.count("unasked");
    else this.#unreadable("unreadable", reason, bytes, peer);
  }

  /** A device that waits for it is told what became of its telegram; one that speaks on a line that is gone says it again. */
  #heard(listener: Listener, fields: Fields, peer: number): Heard {
    const { answer } = listener.talker.options;
    if (!answer) return listener.heard(fields);
    const line = this.#line;
    const { heard, kept } = listener.heardAndKept(fields);
    const say = (what: BytesSpec | undefined) => {
      if (what !== undefined && line && line === this.#line && this.#open)
        this.#send(line, answerBytes(what, fields), peer);
    };
    kept.then(
      () => say(answer.accepted),
      (error: unknown) => {
        this.#reporter.refused(listener.talker.device.name, messageOf(error));
        say(answer.refused);
      },
    );
    return heard;
  }

  #readers(): Listener[] {
    return [...this.#listeners.keys()].filter((listener) => listener.reads);
  }

  #fault(kind: FaultKind, bytes: Buffer, peer: number): void {
    const spoils = SPOILS[kind];
    if (spoils === undefined) this.#reporter.fault(kind, kind, bytes);
    else this.#unreadable(kind, spoils, bytes, peer);
  }

  /** Whose telegram it was is only known where one device alone can have sent it. */
  #unreadable(kind: FaultKind | "unreadable", reason: string, bytes: Buffer, peer: number): void {
    const { asked } = this.#conversation;
    const [only, ...more] = this.#readers();
    const sender = asked ?? (more.length === 0 ? only?.talker : undefined);
    this.#reporter.fault(kind, reason, bytes, sender?.device.name);
    this.#context.tap?.fault(`telegram ${reason}`);
    if (asked) this.#conversation.misread(reason);
    else if (only && more.length === 0) {
      const refusal = only.talker.options.answer?.refused;
      const line = this.#line;
      if (refusal !== undefined && line && this.#open) this.#send(line, answerBytes(refusal, undefined), peer);
      only.bad(reason);
    }
  }
}

/** Loaded when first needed, so that a gateway without serial ports needs no native library for them. */
async function loadSerial(): Promise<typeof import("./lines/serial-line.ts")> {
  try {
    return await import("./lines/serial-line.ts");
  } catch (error) {
    throw new ConfigError(`serial ports cannot be used on this machine: ${messageOf(error)}`, { cause: error });
  }
}
