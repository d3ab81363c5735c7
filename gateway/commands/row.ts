import type { Clock } from "../core/clock.ts";
import { type TagWrite, UncertainWriteError, type WriteResult } from "../core/driver.ts";
import { messageOf, NotConnectedError, RejectedError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Recipe } from "../core/recipe.ts";
import type { Sample, Value } from "../core/sample.ts";
import { type Faults, needsPresent, resolve, stepFaults } from "./checks.ts";
import type { Command } from "./command.ts";
import { endHandshake, shakeHands, staleDone } from "./handshake.ts";
import type { Ledger } from "./ledger.ts";
import { pause } from "./pause.ts";
import { type Result, refused, type TagOutcome } from "./result.ts";
import type { Target } from "./target.ts";

/** Commands that may wait for one device. */
const MOST_WAITING = 100;
/** Between two looks whether a device answers again. */
const AGAIN_MS = 1000;
/** How long a device that does not answer is waited for, to read back what it may have done. */
const READ_BACK_MS = 30_000;
const READ_MS = 5000;
const STOP_MS = 5000;

export interface RowParts {
  readonly target: Target;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Logger;
  /** Gives the result to the queue and to whoever listens; resolves when it is durable or the row was stopped. */
  readonly tell: (command: Command, from: string, result: Result) => Promise<void>;
  /** A recipe of this device; undefined where it has none of that name. */
  readonly recipe: (name: string) => Recipe | undefined;
}

interface Waiting {
  readonly command: Command;
  readonly from: string;
  /** It may have been written in an earlier life. */
  readonly begun: boolean;
}

/** The commands of one device, one after the other in the order they came. */
export class Row {
  readonly #parts: RowParts;
  readonly #stopped = new AbortController();
  readonly #waiting: Waiting[] = [];
  readonly #lastMs = new Map<string, number>();
  #running: Promise<void> | undefined;

  constructor(parts: RowParts) {
    this.#parts = parts;
  }

  get full(): boolean {
    return this.#waiting.length >= MOST_WAITING;
  }

  push(command: Command, from: string, begun = false): void {
    this.#waiting.push({ command, from, begun });
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Begins nothing more; what is on the wire is waited for, a while. What waits is carried out after the next start. */
  async stop(): Promise<void> {
    this.#stopped.abort(new RejectedError("the gateway stops"));
    const patience = new AbortController();
    await Promise.race([this.#running, pause(STOP_MS, patience.signal)]);
    patience.abort();
  }

  async #run(): Promise<void> {
    for (;;) {
      const next = this.#waiting.shift();
      if (!next || this.#stopped.signal.aborted) return;
      const { command, from, begun } = next;
      try {
        const result = begun
          ? await this.#unknown(command, "the gateway stopped while it wrote")
          : await this.#carryOut(command, from);
        if (result) await this.#parts.tell(command, from, result);
      } catch (error) {
        // The ledger cannot be written: what is not in it was not begun, and comes again after the next start.
        this.#parts.log.error({ id: command.id, error: messageOf(error) }, "command not carried out");
      }
    }
  }

  /** @returns undefined when it was not begun because the gateway stops. */
  async #carryOut(command: Command, from: string): Promise<Result | undefined> {
    const { target, ledger } = this.#parts;
    const found = resolve(command, target);
    if ("faults" in found) return faulty(command, found.faults);
    let why: string | undefined;
    while (!this.#stopped.signal.aborted) {
      if (this.#isLate(command)) return refused(command.id, why === undefined ? "expired" : `expired: ${why}`);
      const attempt = await this.#attempt(command, found.writes);
      if (attempt === undefined || !("again" in attempt)) return attempt;
      // It was not written after all: should the gateway stop now, it is carried out and not called unknown.
      await ledger.taken(command, from);
      why = attempt.again;
      await pause(Math.min(AGAIN_MS, this.#leftMs(command)), this.#stopped.signal);
    }
    return undefined;
  }

  /**
   * `again` where it was certainly not done and may be tried later. Undefined when the gateway stops and it may have been
   * done: the next start reads back.
   */
  async #attempt(command: Command, writes: readonly TagWrite[]): Promise<Result | { again: string } | undefined> {
    const { target, ledger } = this.#parts;
    const limit = this.#until(command);
    if (command.recipe !== undefined) return await this.#attemptRecipe(command, command.recipe, writes, limit);
    try {
      const faults = this.#rateFaults(writes);
      if (needsPresent(writes, target)) {
        const tags = writes.map(({ tag }) => tag);
        for (const [name, fault] of stepFaults(writes, await target.read(tags, limit), target)) faults.set(name, fault);
      }
      if (faults.size > 0) return faulty(command, faults);
      await ledger.writing(command.id);
      const results = await target.write(writes, limit);
      this.#remember(writes);
      return resultOf(command, results);
    } catch (error) {
      return await this.#failed(command, error, limit);
    }
  }

  /** The values, then the tag that says so, then the PLC's answer. Only what comes before the first write is tried again. */
  async #attemptRecipe(
    command: Command,
    name: string,
    writes: readonly TagWrite[],
    limit: AbortSignal,
  ): Promise<Result | { again: string } | undefined> {
    const { target, ledger, clock, recipe: recipeOf } = this.#parts;
    const recipe = recipeOf(name);
    if (!recipe) return refused(command.id, `the device has no recipe ${name} any more`);
    const parts = { recipe, target, clock, stopped: this.#stopped.signal };
    const values = recipe.ready ? writes.slice(0, -1) : writes;
    let written: WriteResult[];
    try {
      const faults = this.#rateFaults(values);
      if (needsPresent(values, target)) {
        const tags = values.map(({ tag }) => tag);
        for (const [tag, fault] of stepFaults(values, await target.read(tags, limit), target)) faults.set(tag, fault);
      }
      if (faults.size > 0) return faulty(command, faults);
      const stale = await staleDone(parts, limit);
      if (stale !== undefined) return refused(command.id, `nothing was written: ${stale}`);
      await ledger.writing(command.id);
      written = values.length === 0 ? [] : await target.write(values, limit);
      this.#remember(values);
    } catch (error) {
      return await this.#failed(command, error, limit);
    }
    const notReady = { tag: recipe.ready?.tag ?? "", ok: false, reason: "not written" };
    if (written.some(({ ok }) => !ok)) {
      const results = recipe.ready ? [...written, notReady] : written;
      return { ...resultOf(command, results), handshake: "not ready" };
    }
    try {
      const outcome = await shakeHands(parts);
      if (!outcome) return undefined;
      const { handshake, error, ready } = outcome;
      const last = recipe.ready && (ready ? { tag: recipe.ready.tag, ok: true, ...known(ready) } : notReady);
      const result = resultOf(command, last ? [...written, last] : written);
      if (handshake === "done") return { ...result, handshake, ...(error === undefined ? {} : { error }) };
      return { ...result, ok: false, error: error ?? result.error, handshake };
    } catch (error) {
      return await this.#unknown(command, messageOf(error));
    }
  }

  async #failed(command: Command, error: unknown, limit: AbortSignal): Promise<Result | { again: string } | undefined> {
    if (limit.aborted && error === limit.reason) return { again: "it waited for its turn" };
    if (error instanceof UncertainWriteError) return await this.#unknown(command, error.message);
    if (error instanceof NotConnectedError) return { again: error.message };
    if (error instanceof RejectedError) return refused(command.id, error.message);
    if (isTimeout(error)) return { again: messageOf(error) };
    throw error;
  }

  /** It may have been written: says what the device holds now. Undefined when the gateway stops meanwhile. */
  async #unknown(command: Command, why: string): Promise<Result | undefined> {
    const { target, clock } = this.#parts;
    const tags = command.writes.flatMap(({ tag: name }) => target.device.tags.find((tag) => tag.name === name) ?? []);
    const untilMs = clock.now().monoMs + READ_BACK_MS;
    let samples: readonly Sample[] = [];
    while (clock.now().monoMs < untilMs) {
      try {
        samples = await target.read(tags, AbortSignal.any([this.#stopped.signal, AbortSignal.timeout(READ_MS)]));
        break;
      } catch {
        if (this.#stopped.signal.aborted) return undefined;
        await pause(AGAIN_MS, this.#stopped.signal);
      }
    }
    if (this.#stopped.signal.aborted) return undefined;
    const values = perTag(command, (tag) => {
      const sample = samples.find((one) => one.tag === tag);
      if (sample?.quality === "good") return { readBack: sample.value };
      return { error: `cannot be read back: ${sample?.reason ?? "the device does not answer"}` };
    });
    const ended = await this.#endHandshake(command, samples);
    const error = `unknown whether it was written: ${why}${ended === undefined ? "" : `; ${ended}`}`;
    return { id: command.id, ok: false, unknown: true, error, values };
  }

  async #endHandshake(command: Command, samples: readonly Sample[]): Promise<string | undefined> {
    const { target, clock, recipe: recipeOf } = this.#parts;
    const recipe = command.recipe === undefined ? undefined : recipeOf(command.recipe);
    if (!recipe) return undefined;
    const sample = samples.find(({ tag, quality }) => tag === recipe.ready?.tag && quality === "good");
    return await endHandshake({ recipe, target, clock, stopped: this.#stopped.signal }, sample?.value);
  }

  #rateFaults(writes: readonly TagWrite[]): Map<string, TagOutcome> {
    const now = this.#parts.clock.now().monoMs;
    const faults = new Map<string, TagOutcome>();
    for (const { tag } of writes) {
      const every = this.#parts.target.limits(tag)?.everyMs;
      const last = this.#lastMs.get(tag.name);
      if (every === undefined || last === undefined || now - last >= every) continue;
      faults.set(tag.name, { error: `written ${Math.round(now - last)} ms ago; at most once in ${every} ms` });
    }
    return faults;
  }

  #remember(writes: readonly TagWrite[]): void {
    const now = this.#parts.clock.now().monoMs;
    for (const { tag } of writes) this.#lastMs.set(tag.name, now);
  }

  #isLate({ expires }: Command): boolean {
    return this.#parts.clock.now().wallMs >= expires;
  }

  #leftMs({ expires }: Command): number {
    return Math.max(0, expires - this.#parts.clock.now().wallMs);
  }

  #until(command: Command): AbortSignal {
    const timeout = AbortSignal.timeout(Math.min(this.#leftMs(command), 2 ** 31 - 1));
    return AbortSignal.any([this.#stopped.signal, timeout]);
  }
}

/** Nothing comes from the network as a key of a plain object, but through here. */
function perTag({ writes }: Command, outcome: (tag: string) => TagOutcome): Record<string, TagOutcome> {
  return Object.fromEntries(writes.map(({ tag }) => [tag, outcome(tag)]));
}

function known({ before, after }: { before?: Value | undefined; after?: Value | undefined }): {
  before?: Value;
  after?: Value;
} {
  return { ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) };
}

function resultOf(command: Command, results: readonly WriteResult[]): Result {
  const { id, writes } = command;
  const values = perTag(command, (tag) => {
    const found = results.find((one) => one.tag === tag);
    if (!found) return { error: "not written" };
    return { before: found.before, after: found.after, ...(found.ok ? {} : { error: found.reason ?? "not written" }) };
  });
  const failed = Object.entries(values).filter(([, { error }]) => error !== undefined);
  if (failed.length === 0) return { id, ok: true, values };
  const names = failed.map(([name]) => name).join(", ");
  const error = failed.length === writes.length ? `not written: ${names}` : `partly written, not: ${names}`;
  return { id, ok: false, error, values };
}

function faulty(command: Command, faults: Faults): Result {
  const values = perTag(command, (tag) => faults.get(tag) ?? { error: "not written: another tag may not be" });
  return refused(command.id, "nothing was written", values);
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "MILLRACE_TIMEOUT";
}
