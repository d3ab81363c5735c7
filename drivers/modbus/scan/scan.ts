import { messageOf, NotConnectedError } from "../../../gateway/core/errors.ts";
import { readLink } from "../options.ts";
import { type Identity, identityIn, nameOfObject, serverIdIn } from "./identity.ts";
import { isThere, type Outcome, Prober } from "./prober.ts";

/** A unit that answered. */
export interface FoundUnit extends Identity {
  readonly unit: number;
  /** How its first answer looked: data, an exception by number, or a frame that was broken. */
  readonly answer: string;
}

export interface ScanOptions {
  /** The units to ask, in this order. */
  readonly units: readonly number[];
  /** How long a unit may take before its answer begins; without it 250 ms on a serial port, 500 ms elsewhere. */
  readonly patienceMs?: number;
  /** Ask who is silent by other functions too. */
  readonly thorough?: boolean;
  /** Ask who answers what it is. */
  readonly identify?: boolean;
  readonly found: (unit: FoundUnit) => void;
  readonly progress: (done: number, total: number, unit: number) => void;
}

export interface ScanResult {
  /** How many units were asked. */
  readonly asked: number;
  /** Units for which something came that was no frame: wrong settings of the line, noise, or two units with one id. */
  readonly broken: readonly number[];
  /** Units at whose question the far side hung up. */
  readonly hungUp: readonly number[];
  /** Why it ended early; absent where it did not. */
  readonly lost?: string;
}

const READ_HOLDING = Buffer.of(3, 0, 0, 0, 1);
const OTHERS = [Buffer.of(4, 0, 0, 0, 1), Buffer.of(1, 0, 0, 0, 1), Buffer.of(17), Buffer.of(43, 14, 1, 0)];
const MOST_PARTS = 12;

/** How long a scan takes where nobody is there, in milliseconds. */
export function scanMs(linkOptions: unknown, units: number, patienceMs?: number): number {
  return new Prober(readLink(linkOptions), patienceMs, () => {}).silentMs * units;
}

/**
 * Asks each unit for one register: any well-formed answer shows that it is there, an exception too. One unit after the
 * other. @throws NotConnectedError where it cannot begin; signal.reason. What was found until then was told.
 */
export async function scanUnits(linkOptions: unknown, options: ScanOptions, signal: AbortSignal): Promise<ScanResult> {
  const scan = new Scan(linkOptions, options);
  try {
    return await scan.run(signal);
  } finally {
    await scan.close();
  }
}

class Scan {
  readonly #options: ScanOptions;
  readonly #prober: Prober;
  readonly #known = new Set<number>();
  /** Units that answered when another one was asked, and what. */
  readonly #late = new Map<number, Buffer>();
  readonly #broken = new Set<number>();
  readonly #hungUp: number[] = [];

  constructor(linkOptions: unknown, options: ScanOptions) {
    this.#options = options;
    this.#prober = new Prober(readLink(linkOptions), options.patienceMs, (unit, body) => this.#late.set(unit, body));
  }

  async run(signal: AbortSignal): Promise<ScanResult> {
    await this.#prober.open(signal);
    const { units, progress } = this.#options;
    let asked = 0;
    for (const unit of units) {
      progress(asked, units.length, unit);
      const lost = await this.#one(unit, signal);
      asked++;
      if (lost !== undefined) return this.#result(asked, lost);
      for (const [late, body] of this.#late) await this.#lateOne(late, body, signal);
    }
    progress(asked, units.length, units.at(-1) ?? 0);
    return this.#result(asked);
  }

  close(): Promise<void> {
    return this.#prober.close();
  }

  #result(asked: number, lost?: string): ScanResult {
    const broken = [...this.#broken].filter((unit) => !this.#known.has(unit));
    return { asked, broken, hungUp: this.#hungUp, ...(lost === undefined ? {} : { lost }) };
  }

  /** @returns why the scan cannot go on. */
  async #one(unit: number, signal: AbortSignal): Promise<string | undefined> {
    const questions = this.#options.thorough ? [READ_HOLDING, ...OTHERS] : [READ_HOLDING];
    for (const question of questions) {
      if (this.#known.has(unit)) return undefined;
      const outcome = await this.#prober.ask(unit, question, signal);
      if (outcome.kind === "hung up") {
        this.#hungUp.push(unit);
        return await this.#again(signal);
      }
      if (outcome.kind === "broken") this.#broken.add(unit);
      if (outcome.kind !== "answer") continue;
      // A gateway speaks for a unit that it cannot reach.
      if (!isThere(outcome.body)) return undefined;
      return await this.#found(unit, answerText(outcome.body), signal);
    }
    return undefined;
  }

  async #lateOne(unit: number, body: Buffer, signal: AbortSignal): Promise<void> {
    this.#late.delete(unit);
    if (!this.#known.has(unit)) await this.#found(unit, answerText(body), signal);
  }

  async #found(unit: number, answer: string, signal: AbortSignal): Promise<string | undefined> {
    this.#known.add(unit);
    let identity: Identity = { objects: {} };
    let lost: string | undefined;
    if (this.#options.identify !== false) {
      const objects = await this.#objects(unit, signal);
      if (objects === "hung up") lost = await this.#again(signal);
      else identity = { ...identity, objects };
      const server =
        lost === undefined ? await this.#prober.ask(unit, Buffer.of(17), signal) : { kind: "silent" as const };
      if (server.kind === "hung up") lost = await this.#again(signal);
      else identity = { ...identity, ...serverOf(server) };
    }
    this.#options.found({ unit, answer, ...identity });
    return lost;
  }

  /** Basic objects, and regular and own ones where the unit has them (V1.1b3, 6.21). */
  async #objects(unit: number, signal: AbortSignal): Promise<Record<string, string> | "hung up"> {
    const objects: Record<string, string> = {};
    let [level, first] = [1, 0];
    for (let parts = 0; parts < MOST_PARTS; parts++) {
      const outcome = await this.#prober.ask(unit, Buffer.of(43, 14, level, first), signal);
      if (outcome.kind === "hung up") return outcome.kind;
      const part = outcome.kind === "answer" ? identityIn(outcome.body) : undefined;
      if (!part) return objects;
      for (const { id, value } of part.objects) objects[nameOfObject(id)] = value;
      if (part.next !== undefined && part.next > first) first = part.next;
      else if (level === 1 && part.regular) [level, first] = [2, 0];
      else return objects;
    }
    return objects;
  }

  /** Some servers hang up at a unit id they do not know. @returns why there is no new connection. */
  async #again(signal: AbortSignal): Promise<string | undefined> {
    try {
      await this.#prober.close();
      await this.#prober.open(signal);
      return undefined;
    } catch (error) {
      if (error instanceof NotConnectedError) return messageOf(error);
      throw error;
    }
  }
}

function serverOf(outcome: Outcome): Pick<Identity, "serverId" | "running"> {
  return outcome.kind === "answer" ? (serverIdIn(outcome.body) ?? {}) : {};
}

function answerText(body: Buffer): string {
  return (body[1] ?? 0) & 0x80 ? `exception ${body[2]}` : "data";
}
