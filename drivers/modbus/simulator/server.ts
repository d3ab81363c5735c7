import { identityPdu, type SimulatedIdentity } from "./identity.ts";
import { answerPdu } from "./pdu.ts";
import { RegisterMap } from "./registers.ts";

/** A unit of a server. `delayMs` and `silent` may be changed at any time. */
export class SimulatedUnit {
  readonly unit: number;
  readonly registers: RegisterMap;
  delayMs: number;
  /** Hears everything and answers nothing. */
  silent = false;
  /** What it says it is. */
  identity: SimulatedIdentity | undefined;
  /** Questions it was asked. */
  asked = 0;
  /** Answers that are to leave later. Those of one unit leave in the order of their questions. */
  readonly waiting: { readonly atMs: number; readonly send: () => void }[] = [];

  constructor(unit: number, registers = new RegisterMap(), delayMs = 0) {
    this.unit = unit;
    this.registers = registers;
    this.delayMs = delayMs;
  }
}

/** An answer about to leave, as whole frames of the wire, and the question it is to. */
export interface Exchange {
  readonly unit: number;
  readonly functionCode: number;
  readonly question: Buffer;
  readonly answer: Buffer;
}
/** What leaves instead: nothing, or pieces that are written one after the other. `delayMs` is added to the unit's. */
export interface Tampered {
  readonly chunks: readonly Buffer[];
  readonly delayMs?: number;
}
/** Looks at every answer; undefined lets it pass. For faults in tests. */
export type Tamper = (exchange: Exchange) => Tampered | undefined;

/** Wraps the answer of a unit (unit id and PDU) into a frame of the wire. */
export type Frame = (body: Buffer) => Buffer;

/** The part of a Modbus server that is the same on every wire: units, answers, delays, faults. */
export class ModbusServer {
  readonly #units = new Map<number, SimulatedUnit>();
  readonly #timers = new Set<NodeJS.Timeout>();
  tamper: Tamper | undefined;

  constructor(units: readonly SimulatedUnit[]) {
    for (const unit of units) this.#units.set(unit.unit, unit);
  }

  unit(id: number): SimulatedUnit | undefined {
    return this.#units.get(id);
  }

  /** Answers one question: `body` is unit id and PDU, `question` the frame it came in. Silent where no unit has the id. */
  protected handle(question: Buffer, body: Buffer, frame: Frame, write: (chunk: Buffer) => void): void {
    const unit = this.#units.get(body[0] ?? 0);
    if (!unit) return;
    unit.asked++;
    if (unit.silent) return;
    const asked = body.subarray(1);
    const pdu = identityPdu(unit.identity, asked) ?? answerPdu(unit.registers, asked, Date.now());
    const answer = frame(Buffer.concat([Buffer.from([unit.unit]), pdu]));
    const functionCode = body[1] ?? 0;
    const { chunks, delayMs = 0 } = this.tamper?.({ unit: unit.unit, functionCode, question, answer }) ?? {
      chunks: [answer],
    };
    const readyMs = Math.max(performance.now(), unit.waiting.at(-1)?.atMs ?? 0);
    const send = () => {
      for (const chunk of chunks) write(chunk);
    };
    unit.waiting.push({ atMs: readyMs + unit.delayMs + delayMs, send });
    if (unit.waiting.length === 1) this.#pump(unit);
  }

  /** Nothing that was to leave later leaves any more. */
  protected dropLater(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    for (const unit of this.#units.values()) unit.waiting.length = 0;
  }

  #pump(unit: SimulatedUnit): void {
    for (let next = unit.waiting[0]; next; next = unit.waiting[0]) {
      const waitMs = next.atMs - performance.now();
      if (waitMs > 0) {
        this.#later(waitMs, () => this.#pump(unit));
        return;
      }
      unit.waiting.shift();
      next.send();
    }
  }

  #later(ms: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, ms);
    this.#timers.add(timer);
  }
}
