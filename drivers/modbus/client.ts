import { setTimeout as pause } from "node:timers/promises";
import modbusSerial from "modbus-serial";
import { TimeoutError } from "../../gateway/core/driver.ts";
import { messageOf, NotConnectedError } from "../../gateway/core/errors.ts";
import { type Ask, isCommand, shapeOf } from "./command.ts";
import { Gate } from "./gate.ts";
import { MalformedAnswerError, type StrictPort } from "./ports/port.ts";
import { send } from "./send.ts";
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

/** Asks, and is alone on the connection while it does. */
export type AskAlone = (ask: Ask, options: AskOptions) => Promise<Buffer>;

const DEAF_QUESTIONS = 5;
const DEAF_MS = 10_000;

/**
 * modbus-serial on a port of ours. One connection: opened once, closed once. What modbus-serial leaves open (no time
 * limit, promises that never settle, errors that are no errors) is settled here; that an answer belongs to its question is
 * the port's. Calls beyond the slots of the port wait for their turn.
 */
export class ModbusClient {
  readonly #port: StrictPort;
  readonly #guardMs: number;
  readonly #deafMs: number;
  readonly #gate: Gate;
  readonly #modbus: InstanceType<typeof modbusSerial.default>;
  /** How to end what is under way, and which slot it has where it is a question. */
  readonly #pending = new Map<(error: Error) => void, number | undefined>();
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
    port.on("malformed", (slot, error) => {
      for (const [fail, own] of this.#pending) if (own === slot) fail(error);
    });
    port.on("closed", (reason) => {
      this.#lost ??= reason;
      for (const fail of [...this.#pending.keys()]) fail(reason);
    });
  }

  /** @throws NotConnectedError; signal.reason when aborted. After a failure the object is closed. */
  async open(timeoutMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const late = new NotConnectedError(`no connection within ${timeoutMs} ms`);
    try {
      await this.#within<void>(timeoutMs, signal, late, (done, fail) => {
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
  async ask(ask: Ask, options: AskOptions): Promise<Buffer> {
    options.signal.throwIfAborted();
    const leave = await this.#gate.enter(1, options.signal);
    try {
      return await this.#askSurely(ask, options);
    } finally {
      leave();
    }
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

  /** Waits with the connection open. @throws NotConnectedError when it is lost meanwhile; signal.reason. */
  async pause(ms: number, signal: AbortSignal): Promise<void> {
    if (ms <= 0) return;
    const gone = new AbortController();
    const end = () => gone.abort();
    this.#pending.set(end, undefined);
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
    return new Promise((resolve) => this.#port.close(resolve));
  }

  /**
   * A question that was given up may still be answered, and that answer looks like the one to `ask`. A longer question
   * tells them apart; where none is to be had, time does.
   */
  async #askSurely(ask: Ask, options: AskOptions): Promise<Buffer> {
    if (this.#port.confusion(ask).waryMs === 0) return await this.#exchange(ask, options);
    const { most } = options;
    for (const other of isCommand(ask) || most === undefined ? [] : standIns(ask, most)) {
      if (this.#standIns.get(keyOf(other)) === false || this.#port.confusion(other).waryMs > 0) continue;
      const answer = await this.#standIn(other, options);
      if (answer && !isCommand(ask)) return cutOut(answer, other, ask);
    }
    await this.pause(this.#port.confusion(ask).closedMs, options.signal);
    return await this.#exchange(ask, options);
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

  async #exchange(ask: Ask, { timeoutMs, signal }: AskOptions): Promise<Buffer> {
    signal.throwIfAborted();
    await this.pause(this.#quietUntilMs - performance.now(), signal);
    if (!this.#port.isOpen) throw this.#lost ?? new NotConnectedError("not connected");
    const late = new TimeoutError(`unit ${ask.unit} did not answer within ${Math.round(timeoutMs)} ms`);
    const slot = this.#port.expect(ask);
    try {
      const answer = this.#within<Buffer>(timeoutMs, signal, late, (done, fail) => {
        this.#pending.set(fail, slot);
        send(this.#modbus, ask, (error, data) => (error ? fail(wrap(error)) : done(data)));
      });
      const data = await answer;
      this.#heard();
      return data;
    } catch (error) {
      const refusal = this.#port.forget(slot);
      if (error === late && refusal) {
        this.#heard();
        throw new ExceptionError(refusal[2] ?? 0);
      }
      if (error === late) this.#unheard();
      else if (error instanceof ExceptionError || error instanceof MalformedAnswerError) this.#heard();
      throw error;
    } finally {
      if (this.#guardMs > 0) this.#quietUntilMs = performance.now() + this.#guardMs;
    }
  }

  /** Settles once: by the action, the time, the signal or the end of the connection. */
  #within<T>(
    timeoutMs: number,
    signal: AbortSignal,
    late: Error,
    action: (done: (value: T) => void, fail: (error: Error) => void) => void,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let settled = false;
      const release = () => {
        settled = true;
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
        this.#pending.delete(fail);
      };
      const fail = (error: Error) => {
        if (settled) return;
        release();
        reject(error);
      };
      const onAbort = () => fail(signal.reason);
      const timer = setTimeout(() => fail(late), timeoutMs);
      signal.addEventListener("abort", onAbort, { once: true });
      this.#pending.set(fail, undefined);
      action((value) => {
        if (settled) return;
        release();
        resolve(value);
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
