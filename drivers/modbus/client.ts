import { setTimeout as pause } from "node:timers/promises";
import modbusSerial from "modbus-serial";
import { TimeoutError } from "../../gateway/core/driver.ts";
import { messageOf, NotConnectedError } from "../../gateway/core/errors.ts";
import { LAST_ADDRESS, MAX_BITS, MAX_REGISTERS } from "./address.ts";
import { MalformedAnswerError, type StrictPort } from "./ports/port.ts";
import { dataBytes, type Question } from "./wire.ts";

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
}

/** Without an answer to so many questions in a row, for so long, the connection is not believed in any more. */
const DEAF_QUESTIONS = 5;
const DEAF_MS = 10_000;

/**
 * modbus-serial on a port of ours. One connection: opened once, closed once. What modbus-serial leaves open (no time
 * limit, promises that never settle, errors that are no errors) is settled here; that an answer belongs to its question is
 * the port's.
 */
export class ModbusClient {
  readonly #port: StrictPort;
  readonly #deafMs: number;
  readonly #modbus: InstanceType<typeof modbusSerial.default>;
  #reject: ((error: Error) => void) | undefined;
  #lost: NotConnectedError | undefined;
  #unanswered = 0;
  #heardMs = 0;

  constructor(port: StrictPort, deafMs = DEAF_MS) {
    this.#port = port;
    this.#deafMs = deafMs;
    this.#modbus = new modbusSerial.default(port);
    this.#modbus.on("error", () => {});
    port.on("malformed", (error) => this.#reject?.(error));
    port.on("closed", (reason) => {
      this.#lost ??= reason;
      this.#reject?.(reason);
    });
  }

  /** @throws NotConnectedError; signal.reason when aborted. After a failure the object is closed. */
  async open(timeoutMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    try {
      await this.#within(
        timeoutMs,
        signal,
        new NotConnectedError(`no connection within ${timeoutMs} ms`),
        (done, fail) => {
          this.#modbus.open((error?: Error | null) => (error ? fail(error) : done(undefined)));
        },
      );
      this.#heardMs = performance.now();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /**
   * The data bytes of the answer: registers as they came, or bits eight to a byte.
   * @throws TimeoutError, NotConnectedError, ExceptionError, MalformedAnswerError; signal.reason when aborted.
   */
  async ask(question: Question, options: AskOptions): Promise<Buffer> {
    await this.#resolveConfusion(question, options);
    return this.#exchange(question, options);
  }

  /** Idempotent, never rejects. */
  close(): Promise<void> {
    return new Promise((resolve) => this.#port.close(resolve));
  }

  /**
   * A question that was given up may still be answered, and that answer looks like the one to `question`. Asking for
   * another length first tells them apart, at the price of one short exchange.
   */
  async #resolveConfusion(question: Question, options: AskOptions): Promise<void> {
    if (this.#port.confusedMs(question) === 0) return;
    const other = differing(question).find((candidate) => this.#port.confusedMs(candidate) === 0);
    try {
      if (other) await this.#exchange(other, options);
    } catch (error) {
      // A refusal carries no length, so it may belong to either question: only time tells them apart.
      if (!(error instanceof ExceptionError)) throw error;
    }
    const waitMs = this.#port.confusedMs(question);
    if (waitMs > 0) await this.#pause(waitMs, options.signal);
  }

  async #exchange(question: Question, { timeoutMs, signal }: AskOptions): Promise<Buffer> {
    signal.throwIfAborted();
    if (!this.#port.isOpen) throw this.#lost ?? new NotConnectedError("not connected");
    const late = new TimeoutError(`unit ${question.unit} did not answer within ${Math.round(timeoutMs)} ms`);
    try {
      const bytes = await this.#within<Buffer>(timeoutMs, signal, late, (done, fail) => {
        this.#port.expect(question);
        this.#write(question, (error, result) => (error ? fail(wrap(error)) : done(result.buffer)));
      });
      this.#heard();
      return bytes;
    } catch (error) {
      const refusal = this.#port.forget();
      if (error === late && refusal) {
        this.#heard();
        throw new ExceptionError(refusal[2] ?? 0);
      }
      if (error === late) this.#unheard();
      else if (error instanceof ExceptionError || error instanceof MalformedAnswerError) this.#heard();
      throw error;
    }
  }

  #write(
    { unit, functionCode, address, count }: Question,
    done: (error: unknown, result: { readonly buffer: Buffer }) => void,
  ): void {
    if (functionCode === 1) this.#modbus.writeFC1(unit, address, count, done);
    else if (functionCode === 2) this.#modbus.writeFC2(unit, address, count, done);
    else if (functionCode === 3) this.#modbus.writeFC3(unit, address, count, done);
    else this.#modbus.writeFC4(unit, address, count, done);
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
        this.#reject = undefined;
      };
      const fail = (error: Error) => {
        if (settled) return;
        release();
        reject(error);
      };
      const onAbort = () => fail(signal.reason);
      const timer = setTimeout(() => fail(late), timeoutMs);
      signal.addEventListener("abort", onAbort, { once: true });
      this.#reject = fail;
      action((value) => {
        if (settled) return;
        release();
        resolve(value);
      }, fail);
    });
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    const gone = new AbortController();
    this.#reject = () => gone.abort();
    try {
      await pause(ms, undefined, { signal: AbortSignal.any([signal, gone.signal]) });
    } catch {
      signal.throwIfAborted();
      throw this.#lost ?? new NotConnectedError("closed");
    } finally {
      this.#reject = undefined;
    }
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

/** Questions to the same unit whose answers have another length, the surest first: a part of what is known to exist. */
function differing({ unit, functionCode, address, count }: Question): Question[] {
  const bits = functionCode <= 2;
  const step = bits ? 8 : 1;
  const units = dataBytes({ functionCode, count }) / (bits ? 1 : 2);
  return [units - 1, units - 2, units + 1, units + 2]
    .map((size) => ({ unit, functionCode, address, count: size * step }))
    .filter((question) => question.count > 0 && question.count <= (bits ? MAX_BITS : MAX_REGISTERS))
    .filter((question) => question.address + question.count - 1 <= LAST_ADDRESS);
}

function wrap(error: unknown): Error {
  if (typeof error === "object" && error !== null && "modbusCode" in error)
    return new ExceptionError(Number(error.modbusCode));
  if (error instanceof Error) return new MalformedAnswerError(messageOf(error), { cause: error });
  return new NotConnectedError(messageOf(error), { cause: error });
}
