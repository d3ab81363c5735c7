import { setTimeout as pause } from "node:timers/promises";
import modbusSerial from "modbus-serial";
import { TimeoutError } from "../../gateway/core/driver.ts";
import { messageOf, NotConnectedError } from "../../gateway/core/errors.ts";
import { AbortWatch } from "./abort-watch.ts";
import { type Ask, isCommand, shapeOf } from "./command.ts";
import { Deadlines } from "./deadlines.ts";
import { Gate } from "./gate.ts";
import { MalformedAnswerError, type StrictPort } from "./ports/port.ts";
import { sendCommand } from "./send.ts";
import { cutOut, standIns } from "./stand-in.ts";
import type { Question } from "./wire.ts";

/** The unit's own refusal (MODBUS Application Protocol V1.1b3, 7). */
export class ExceptionError extends Error {
  override readonly name = "ExceptionError";
  readonly exceptionCode: number;

  constructor(exceptionCode: number) {
    super(`exception ${exceptionCode}`);
    this.exceptionCode = exceptionCode;
  }
}

export interface AskOptions {
  /** Milliseconds for question, answer and everything between. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Registers or bits that the unit gives in one answer, where a longer question may stand in for a short one. */
  readonly most?: number;
}

export interface ClientOptions {
  /** Least pause between an answer and the next question. */
  readonly guardMs?: number;
  /** Without an answer to some questions in a row, for so long, the connection is not believed in any more. */
  readonly deafMs?: number;
}

/** A question or a command under way. */
interface Exchange {
  readonly slot: number;
  done(data: Buffer): void;
  fail(error: unknown): void;
}

/** Asks, and is alone on the connection while it does. */
export type AskAlone = (ask: Ask, options: AskOptions) => Promise<Buffer>;

const DEAF_QUESTIONS = 5;
const DEAF_MS = 10_000;
const NOTHING = Buffer.alloc(0);
/** Set in the function code of a refusal. */
const REFUSAL = 0x80;

/**
 * A Modbus client on one connection: opened once, closed once. That an answer belongs to its question is the port's; here
 * each question settles, by its answer, its time, its signal or the end of the connection. Calls beyond the slots of the
 * port wait for their turn. Commands go through modbus-serial; reads, which come by the thousand a second, do not: what
 * the port lets in needs no second parsing.
 */
export class ModbusClient {
  readonly #port: StrictPort;
  readonly #guardMs: number;
  readonly #deafMs: number;
  readonly #gate: Gate;
  readonly #deadlines = new Deadlines();
  readonly #aborts = new AbortWatch();
  readonly #modbus: InstanceType<typeof modbusSerial.default>;
  readonly #exchanges = new Map<number, Exchange>();
  /** How to end what else is under way. */
  readonly #pending = new Set<(error: Error) => void>();
  /** Stand-ins by unit, shape and address: whether the unit answered them. */
  readonly #standIns = new Map<string, boolean>();
  #lost: NotConnectedError | undefined;
  #unanswered = 0;
  #heardMs = 0;
  #quietUntilMs = 0;

  constructor(port: StrictPort, { guardMs = 0, deafMs = DEAF_MS }: ClientOptions = {}) {
    this.#port = port;
    this.#guardMs = guardMs;
    this.#deafMs = deafMs;
    this.#gate = new Gate(port.slots);
    this.#modbus = new modbusSerial.default(port);
    this.#modbus.on("error", () => {});
    port.on("answered", (slot, body) => this.#answered(slot, body));
    port.on("malformed", (slot, error) => this.#exchanges.get(slot)?.fail(error));
    port.on("closed", (reason) => {
      this.#lost ??= reason;
      for (const fail of [...this.#pending]) fail(reason);
      for (const exchange of [...this.#exchanges.values()]) exchange.fail(reason);
      this.#release();
    });
  }

  /** @throws NotConnectedError; signal.reason when aborted. After a failure the object is closed. */
  async open(timeoutMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const late = () => new NotConnectedError(`no connection within ${timeoutMs} ms`);
    try {
      await this.#within(timeoutMs, signal, late, (done, fail) => {
        this.#modbus.open((error?: Error | null) => (error ? fail(error) : done()));
      });
      this.#heardMs = performance.now();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /**
   * The data bytes of the answer: registers as they came, bits eight to a byte, nothing for a command.
   * @throws TimeoutError, NotConnectedError, ExceptionError, MalformedAnswerError; signal.reason when aborted.
   */
  ask(ask: Ask, options: AskOptions): Promise<Buffer> {
    if (options.signal.aborted) return Promise.reject(options.signal.reason);
    const leave = this.#gate.enterNow();
    if (!leave) return this.#askInTurn(ask, options);
    if (this.#guardMs > 0 || this.#port.confusion(ask).waryMs > 0) return this.#askSurely(ask, options).finally(leave);
    return this.#exchangeNow(ask, options, leave);
  }

  /** Several questions with nothing of anybody else between them. @throws what `action` throws; signal.reason. */
  async alone<T>(signal: AbortSignal, action: (ask: AskAlone) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const leave = await this.#gate.enter(this.#gate.places, signal);
    try {
      return await action((ask, options) => this.#askSurely(ask, options));
    } finally {
      leave();
    }
  }

  /** Whether anything is ever held up because of an answer that may still come. */
  get holds(): boolean {
    return this.#port.confusable;
  }

  /** Milliseconds for which `ask` would wait before it asks, with the connection idle. */
  heldMs(question: Question, most: number): number {
    const { closedMs } = this.#port.confusion(question);
    return closedMs === 0 || this.#standInsFor(question, most).length > 0 ? 0 : closedMs;
  }

  /** The same for commands to a unit. */
  commandsMs(unit: number): number {
    return this.#port.commandsMs(unit);
  }

  /** Waits with the connection open. @throws NotConnectedError when it is lost meanwhile; signal.reason. */
  async pause(ms: number, signal: AbortSignal): Promise<void> {
    if (ms <= 0) return;
    const gone = new AbortController();
    const end = () => gone.abort();
    this.#pending.add(end);
    try {
      await pause(ms, undefined, { signal: AbortSignal.any([signal, gone.signal]) });
    } catch {
      signal.throwIfAborted();
      throw this.#lost ?? new NotConnectedError("closed");
    } finally {
      this.#pending.delete(end);
    }
  }

  /** Idempotent, never rejects. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#port.close(() => {
        this.#release();
        resolve();
      });
    });
  }

  /** Leaves no timer and no listener. */
  #release(): void {
    this.#deadlines.stop();
    this.#aborts.stop();
  }

  async #askInTurn(ask: Ask, options: AskOptions): Promise<Buffer> {
    const leave = await this.#gate.enter(1, options.signal);
    try {
      return await this.#askSurely(ask, options);
    } finally {
      leave();
    }
  }

  /**
   * A question that was given up may still be answered, and that answer looks like the one to `ask`. A longer question
   * tells them apart; where none is to be had, time does.
   */
  #askSurely(ask: Ask, options: AskOptions): Promise<Buffer> {
    return this.#port.confusion(ask).waryMs === 0 ? this.#exchange(ask, options) : this.#askOtherwise(ask, options);
  }

  async #askOtherwise(ask: Ask, options: AskOptions): Promise<Buffer> {
    const { most } = options;
    for (const other of isCommand(ask) || most === undefined ? [] : this.#standInsFor(ask, most)) {
      const answer = await this.#standIn(other, options);
      if (answer && !isCommand(ask)) return cutOut(answer, other, ask);
    }
    await this.pause(this.#port.confusion(ask).closedMs, options.signal);
    return await this.#exchange(ask, options);
  }

  /** Longer questions that may be asked now, and that the unit is not known to have no answer to. */
  #standInsFor(question: Question, most: number): Question[] {
    const isOpen = (other: Question) =>
      this.#standIns.get(keyOf(other)) !== false && this.#port.confusion(other).waryMs === 0;
    return standIns(question, most).filter(isOpen);
  }

  /** Undefined where the unit has no answer to this one. */
  async #standIn(question: Question, options: AskOptions): Promise<Buffer | undefined> {
    const key = keyOf(question);
    try {
      const answer = await this.#exchange(question, options);
      this.#standIns.set(key, true);
      return answer;
    } catch (error) {
      // What was answered once is not unanswerable: the unit is silent for another reason.
      if (!this.#standIns.has(key)) this.#standIns.set(key, false);
      if (error instanceof ExceptionError || error instanceof MalformedAnswerError) return undefined;
      throw error;
    }
  }

  async #exchange(ask: Ask, options: AskOptions): Promise<Buffer> {
    options.signal.throwIfAborted();
    if (this.#guardMs > 0) await this.pause(this.#quietUntilMs - performance.now(), options.signal);
    return await this.#exchangeNow(ask, options, () => {
      if (this.#guardMs > 0) this.#quietUntilMs = performance.now() + this.#guardMs;
    });
  }

  /** Sends it and settles once: by the answer, the time, the signal or the end of the connection. @param ended called then. */
  #exchangeNow(ask: Ask, { timeoutMs, signal }: AskOptions, ended: () => void): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (signal.aborted || !this.#port.isOpen) {
        ended();
        reject(signal.aborted ? signal.reason : (this.#lost ?? new NotConnectedError("not connected")));
        return;
      }
      const slot = this.#port.expect(ask);
      const isOver = () => {
        if (this.#exchanges.get(slot) !== exchange) return true;
        this.#exchanges.delete(slot);
        this.#deadlines.clear(onLate);
        this.#aborts.remove(signal, fail);
        ended();
        return false;
      };
      const fail = (error: unknown) => {
        if (isOver()) return;
        this.#port.forget(slot);
        if (error instanceof ExceptionError || error instanceof MalformedAnswerError) this.#heard();
        reject(error);
      };
      const onLate = () => {
        if (isOver()) return;
        const refusal = this.#port.forget(slot);
        if (refusal) this.#heard();
        else this.#unheard();
        // Made when it is needed: a stack trace costs as much as a question.
        const late = () => new TimeoutError(`unit ${ask.unit} did not answer within ${Math.round(timeoutMs)} ms`);
        reject(refusal ? new ExceptionError(refusal[2] ?? 0) : late());
      };
      const done = (data: Buffer) => {
        if (isOver()) return;
        this.#heard();
        resolve(data);
      };
      const exchange = { slot, done, fail };
      this.#exchanges.set(slot, exchange);
      this.#deadlines.set(onLate, timeoutMs);
      this.#aborts.add(signal, fail);
      if (isCommand(ask)) sendCommand(this.#modbus, ask, (error) => (error ? fail(wrap(error)) : done(NOTHING)));
      else this.#port.read(slot, ask);
    });
  }

  #answered(slot: number, body: Buffer): void {
    const exchange = this.#exchanges.get(slot);
    if (((body[1] ?? 0) & REFUSAL) === 0) exchange?.done(body.subarray(3));
    else exchange?.fail(new ExceptionError(body[2] ?? 0));
  }

  /** Settles once: by the action, the time, the signal or the end of the connection. */
  #within(
    timeoutMs: number,
    signal: AbortSignal,
    late: () => Error,
    action: (done: () => void, fail: (error: Error) => void) => void,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const release = () => {
        this.#deadlines.clear(onLate);
        signal.removeEventListener("abort", onAbort);
        this.#pending.delete(fail);
      };
      const fail = (error: Error) => {
        release();
        reject(error);
      };
      const onAbort = () => fail(signal.reason);
      const onLate = () => fail(late());
      this.#deadlines.set(onLate, timeoutMs);
      signal.addEventListener("abort", onAbort, { once: true });
      this.#pending.add(fail);
      action(() => {
        release();
        resolve();
      }, fail);
    });
  }

  #heard(): void {
    this.#unanswered = 0;
    this.#heardMs = performance.now();
  }

  #unheard(): void {
    this.#unanswered++;
    if (this.#unanswered < DEAF_QUESTIONS || performance.now() - this.#heardMs < this.#deafMs) return;
    this.#lost ??= new NotConnectedError("nobody has answered for a while: the connection was given up");
    void this.close();
  }
}

function keyOf(question: Question): string {
  return `${question.unit} ${shapeOf(question)} ${question.address}`;
}

function wrap(error: unknown): Error {
  if (typeof error === "object" && error !== null && "modbusCode" in error)
    return new ExceptionError(Number(error.modbusCode));
  if (error instanceof Error) return new MalformedAnswerError(messageOf(error), { cause: error });
  return new NotConnectedError(messageOf(error), { cause: error });
}
