import { type Device, type TagWrite, TimeoutError, type WriteResult } from "../../../gateway/core/driver.ts";
import { messageOf, NotConnectedError } from "../../../gateway/core/errors.ts";
import type { Value } from "../../../gateway/core/sample.ts";
import { AREAS } from "../address.ts";
import { type AskAlone, type AskOptions, ExceptionError, type ModbusClient } from "../client.ts";
import type { Ask, Command } from "../command.ts";
import { type DeviceOptions, readTag } from "../options.ts";
import { pointOfTag } from "../plan/plan.ts";
import { readRegisters } from "../point.ts";
import { MalformedAnswerError } from "../ports/port.ts";
import { refusal } from "../refusal.ts";
import type { Question } from "../wire.ts";
import { bitsOf, bytesOf, type Job, type Run, runOf, runsOf } from "./runs.ts";
import { changeOf, limitsOf } from "./writable.ts";

const ILLEGAL_FUNCTION = 1;
const ACKNOWLEDGE = 5;

/** What a command came to: done, not known, or refused with a reason. */
type Outcome = "done" | "unknown" | { readonly reason: string };

export interface WriterParts {
  readonly client: ModbusClient;
  readonly bounds: (ask: Ask) => AskOptions;
  readonly signal: AbortSignal;
  /** Units that do not know function 22, for as long as the connection lasts. */
  readonly maskless: Set<number>;
}

/**
 * Writes tags of one device, in the order given; neighbours leave in one command. Reads each place before and, unless the
 * tag says otherwise, after. A bit is written by function 22, or, where the unit does not know it, by reading and writing
 * its register with nothing of this link in between; the device itself may still change it meanwhile.
 */
export class Writer {
  readonly #parts: WriterParts;
  readonly #device: Device;
  readonly #options: DeviceOptions;
  readonly #results: WriteResult[] = [];
  #sent = false;

  constructor(parts: WriterParts, device: Device, options: DeviceOptions) {
    this.#parts = parts;
    this.#device = device;
    this.#options = options;
  }

  /** @throws TimeoutError, NotConnectedError, signal.reason, when nothing was written yet; later they are results. */
  async write(writes: readonly TagWrite[]): Promise<WriteResult[]> {
    const jobs = writes.flatMap((write, index) => this.#understood(write, index) ?? []);
    let lost: string | undefined;
    for (const run of runsOf(jobs, this.#options.maxRegisters)) {
      if (lost === undefined) lost = await this.#performed(run);
      if (lost !== undefined) this.#fill(run, `not written: ${lost}`);
    }
    return this.#results;
  }

  #understood(write: TagWrite, index: number): Job | undefined {
    const { tag, value } = write;
    try {
      const options = readTag(tag.options);
      const point = pointOfTag(this.#device, tag);
      return {
        index,
        write,
        point,
        change: changeOf(options, point, value),
        verify: limitsOf(options)?.verify ?? true,
      };
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#results[index] = { tag: tag.name, ok: false, reason: error.message };
      return undefined;
    }
  }

  /** @returns why nothing more can be written. */
  async #performed(run: Run): Promise<string | undefined> {
    const { client, signal } = this.#parts;
    try {
      await client.alone(signal, (ask) => this.#perform(ask, run));
      return undefined;
    } catch (error) {
      if (!this.#sent) throw error;
      return messageOf(error);
    }
  }

  async #perform(ask: AskAlone, run: Run): Promise<void> {
    const before = await this.#read(ask, run);
    const outcome = await this.#change(ask, run, before);
    if (outcome === "apart") {
      for (const job of run.jobs) await this.#perform(ask, runOf(job));
      return;
    }
    if (typeof outcome === "object") {
      this.#fill(run, outcome.reason, before);
      return;
    }
    const verify = outcome === "unknown" || run.jobs.some((job) => job.verify);
    const after = verify ? await this.#readBack(ask, run) : undefined;
    this.#judge(run, outcome, before, after);
  }

  /** The registers of a run, or its coils, each a byte; undefined where they cannot be read. */
  async #read(ask: AskAlone, run: Run): Promise<Buffer | undefined> {
    const question = this.#question(run);
    try {
      const data = await ask(question, this.#parts.bounds(question));
      return run.kind === "coils" ? coilsOf(data, run.count) : data;
    } catch (error) {
      refusal(error);
      return undefined;
    }
  }

  async #readBack(ask: AskAlone, run: Run): Promise<Buffer | undefined> {
    try {
      return await this.#read(ask, run);
    } catch (error) {
      if (error instanceof TimeoutError || error instanceof NotConnectedError) return undefined;
      throw error;
    }
  }

  #question(run: Run): Question {
    const functionCode = run.kind === "coils" ? 1 : 3;
    return { unit: this.#options.unit, functionCode, address: run.address, count: run.count };
  }

  /** "apart" where the unit writes only one at a time. */
  async #change(ask: AskAlone, run: Run, before: Buffer | undefined): Promise<Outcome | "apart"> {
    if (run.kind === "bits") return await this.#changeBits(ask, run, before);
    const bytes = bytesOf(run);
    if (run.count === 1) return await this.#changeOne(ask, run, bytes);
    const code = run.kind === "coils" ? 15 : 16;
    const data = run.kind === "coils" ? packed(bytes) : bytes;
    const outcome = await this.#command(ask, this.#commandOf(run, code, data));
    if (outcome !== "illegal function") return outcome;
    return run.jobs.length > 1 ? "apart" : { reason: outcome };
  }

  async #changeOne(ask: AskAlone, run: Run, bytes: Buffer): Promise<Outcome> {
    const coils = run.kind === "coils";
    const single = coils ? Buffer.of(bytes[0] ? 0xff : 0, 0) : bytes;
    const outcome = await this.#command(ask, this.#commandOf(run, coils ? 5 : 6, single));
    if (outcome !== "illegal function") return outcome;
    const second = await this.#command(ask, this.#commandOf(run, coils ? 15 : 16, bytes));
    return second === "illegal function" ? { reason: second } : second;
  }

  async #changeBits(ask: AskAlone, run: Run, before: Buffer | undefined): Promise<Outcome> {
    const { unit } = this.#options;
    const { mask, bits } = bitsOf(run);
    if (!this.#parts.maskless.has(unit)) {
      const masks = Buffer.alloc(4);
      masks.writeUInt16BE(~mask & 0xffff, 0);
      masks.writeUInt16BE(bits, 2);
      const outcome = await this.#command(ask, this.#commandOf(run, 22, masks));
      if (outcome !== "illegal function") return outcome;
      this.#parts.maskless.add(unit);
    }
    if (!before) return { reason: "the other bits of the register cannot be read, so they would be lost" };
    const word = Buffer.alloc(2);
    word.writeUInt16BE((before.readUInt16BE(0) & ~mask & 0xffff) | bits, 0);
    return await this.#changeOne(ask, run, word);
  }

  #commandOf(run: Run, functionCode: Command["functionCode"], data: Buffer): Command {
    return { unit: this.#options.unit, functionCode, address: run.address, count: run.count, data };
  }

  async #command(ask: AskAlone, command: Command): Promise<Outcome | "illegal function"> {
    try {
      this.#sent = true;
      await ask(command, this.#parts.bounds(command));
      return "done";
    } catch (error) {
      if (error instanceof ExceptionError && error.exceptionCode === ILLEGAL_FUNCTION) return "illegal function";
      if (error instanceof ExceptionError && error.exceptionCode === ACKNOWLEDGE) return "unknown";
      if (error instanceof TimeoutError || error instanceof MalformedAnswerError) return "unknown";
      return { reason: reasonOf(error) };
    }
  }

  #judge(run: Run, outcome: "done" | "unknown", before: Buffer | undefined, after: Buffer | undefined): void {
    for (const job of run.jobs) {
      const values = { ...valued("before", job, run, before), ...valued("after", job, run, after) };
      const tag = job.write.tag.name;
      const reason = faultOf(job, run, outcome, after);
      this.#results[job.index] =
        reason === undefined ? { tag, ok: true, ...values } : { tag, ok: false, reason, ...values };
    }
  }

  #fill(run: Run, reason: string, before?: Buffer): void {
    for (const job of run.jobs) {
      this.#results[job.index] ??= {
        tag: job.write.tag.name,
        ok: false,
        reason,
        ...valued("before", job, run, before),
      };
    }
  }
}

function faultOf(job: Job, run: Run, outcome: "done" | "unknown", after: Buffer | undefined): string | undefined {
  if (outcome === "done" && !job.verify) return undefined;
  if (!after) return outcome === "done" ? "written, but it cannot be read back" : "no answer: it may have been written";
  if (holds(job, partOf(job, run, after))) return undefined;
  return outcome === "done" ? "read back as another value" : "no answer, and it was not written";
}

/** Whether the bytes of a job's place are what it wrote. */
function holds({ change }: Job, bytes: Buffer): boolean {
  const { mask } = change;
  if (!mask) return bytes.equals(change.bytes);
  return bytes.every((byte, at) => (byte & (mask[at] ?? 0)) === (change.bytes[at] ?? 0));
}

function partOf({ point }: Job, run: Run, bytes: Buffer): Buffer {
  const size = run.kind === "coils" ? 1 : 2;
  const start = (point.address.index - run.address) * size;
  return bytes.subarray(start, start + point.count * size);
}

function valued<K extends "before" | "after">(
  key: K,
  job: Job,
  run: Run,
  bytes: Buffer | undefined,
): Partial<Record<K, Value>> {
  if (!bytes) return {};
  const part = partOf(job, run, bytes);
  const decoded = AREAS[job.point.address.area].bits ? { value: part[0] === 1 } : readRegisters(job.point, part);
  const result: Partial<Record<K, Value>> = {};
  if ("value" in decoded) result[key] = decoded.value;
  return result;
}

function reasonOf(error: unknown): string {
  try {
    return refusal(error);
  } catch (cause) {
    if (cause instanceof TimeoutError) return cause.message;
    throw cause;
  }
}

function coilsOf(data: Buffer, count: number): Buffer {
  return Buffer.from(Array.from({ length: count }, (_, at) => ((data[at >> 3] ?? 0) >> (at & 7)) & 1));
}

function packed(coils: Buffer): Buffer {
  const data = Buffer.alloc(Math.ceil(coils.length / 8));
  for (const [at, coil] of coils.entries()) data[at >> 3] = (data[at >> 3] ?? 0) | (coil << (at & 7));
  return data;
}
