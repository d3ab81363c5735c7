import { z } from "zod";
import { messageOf, StorageError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { JournalFile } from "../host/journal-file.ts";
import type { Command, Reply } from "./command.ts";
import { type Result, resultJson } from "./result.ts";

/** An id is remembered for so long after its command expired: clocks are set back. */
const REMEMBER_MS = 86_400_000;
/** Lines beyond what is remembered before the file is written anew. */
const SPARE_LINES = 2000;

const json = z.union([z.number(), z.boolean(), z.string()]);
const reply = z
  .object({
    topic: z.string().optional(),
    correlation: z.string().optional(),
    token: z.string().optional(),
    uplink: z.string().optional(),
  })
  .optional();
const result = z.looseObject({ id: z.string(), ok: z.boolean() });
const line = z.discriminatedUnion("at", [
  z.object({
    at: z.literal("taken"),
    id: z.string(),
    device: z.string(),
    expires: z.number(),
    from: z.string(),
    writes: z.array(z.object({ tag: z.string(), value: json })),
    recipe: z.string().optional(),
    reply,
  }),
  z.object({ at: z.literal("writing"), id: z.string() }),
  z.object({
    at: z.literal("done"),
    id: z.string(),
    device: z.string(),
    expires: z.number(),
    seq: z.number(),
    result: z.string(),
    reply,
  }),
  z.object({ at: z.literal("told"), id: z.string(), device: z.string(), expires: z.number(), reply }),
]);

/** How far a command came. What it says survives a kill and a power cut. */
export type Entry =
  | { readonly state: "taken" | "writing"; readonly command: Command; readonly from: string }
  /** `seq` is that of the next event when the result was known: an event with it has this seq or a later one. */
  | {
      readonly state: "done";
      readonly id: string;
      readonly device: string;
      readonly expires: number;
      readonly seq: number;
      readonly result: string;
      readonly reply?: Reply | undefined;
    }
  | {
      readonly state: "told";
      readonly id: string;
      readonly device: string;
      readonly expires: number;
      readonly reply?: Reply | undefined;
    };

export interface LedgerParts {
  readonly path: string;
  readonly wallMs: () => number;
  readonly log: Logger;
}

/** Which ids have come, and what became of them: each id is carried out at most once. */
export class Ledger {
  readonly #file: JournalFile;
  readonly #parts: LedgerParts;
  readonly #entries = new Map<string, Entry>();
  /** Lines that tell what becomes of an id, on their way to the disk. */
  readonly #pending = new Map<string, Promise<void>>();
  #lines = 0;
  #mending: Promise<void> | undefined;

  constructor(parts: LedgerParts) {
    this.#parts = parts;
    this.#file = new JournalFile(parts.path);
  }

  /**
   * Reads what is there.
   * @throws StorageError when it cannot be read or written: then no command may be taken.
   */
  async open(): Promise<void> {
    try {
      const { lines, damaged } = await this.#file.read();
      for (const one of lines) this.#replay(one);
      if (damaged > 0) {
        this.#parts.log.error(
          { damaged, file: this.#parts.path },
          "the ledger of commands is damaged; a command that is sent again may be carried out again",
        );
      }
      await this.#rewrite();
    } catch (error) {
      throw new StorageError(`the ledger of commands cannot be opened: ${messageOf(error)}`, { cause: error });
    }
  }

  async close(): Promise<void> {
    await this.#mending;
    await this.#file.close();
  }

  get(id: string): Entry | undefined {
    return this.#entries.get(id);
  }

  /** Commands without a result, and results that may not have been told, in the order they came. */
  unfinished(): readonly Entry[] {
    return [...this.#entries.values()].filter(({ state }) => state !== "told");
  }

  /** From here on the id is known. @throws StorageError: it may be known or not; nothing was begun. */
  async taken(command: Command, from: string): Promise<void> {
    const { id } = command;
    this.#entries.set(id, { state: "taken", command, from });
    await this.#appendOf(id, { at: "taken", ...command, from }).catch((error: unknown) => {
      this.#entries.delete(id);
      throw error;
    });
  }

  /** Where the sender of a command with a result wants it; undefined where nowhere else, or where the id is forgotten. */
  replyTo(id: string): Reply | undefined {
    const entry = this.#entries.get(id);
    return entry?.state === "done" || entry?.state === "told" ? entry.reply : undefined;
  }

  /** From here on the device may have it. @throws StorageError: do not write. */
  async writing(id: string): Promise<void> {
    const entry = this.#entries.get(id);
    await this.#append({ at: "writing", id });
    if (entry?.state === "taken") this.#entries.set(id, { ...entry, state: "writing" });
  }

  /** @throws StorageError: it counts as not done when the gateway stops now. */
  async done(command: Omit<Command, "writes" | "recipe">, seq: number, told: Result): Promise<void> {
    const { id, device, expires, reply } = command;
    const entry = { id, device, expires, seq, result: resultJson(told), ...(reply && { reply }) };
    this.#entries.set(id, { state: "done", ...entry });
    await this.#appendOf(id, { at: "done", ...entry });
  }

  /** Whoever is to have the result has it. Not worth an error: it would be looked for again. */
  async told(id: string): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry?.state !== "done") return;
    const { device, expires, reply } = entry;
    const told = { id, device, expires, ...(reply && { reply }) };
    this.#entries.set(id, { state: "told", ...told });
    await this.#append({ at: "told", ...told }).catch(() => {});
  }

  /** Resolves when what is known of an id is on disk. @throws StorageError when it is not: ask again. */
  async settled(id: string): Promise<void> {
    await this.#pending.get(id);
  }

  async #appendOf(id: string, content: object): Promise<void> {
    const work = this.#append(content);
    this.#pending.set(id, work);
    try {
      await work;
    } finally {
      if (this.#pending.get(id) === work) this.#pending.delete(id);
    }
  }

  async #append(content: object): Promise<void> {
    try {
      if (this.#file.broken || this.#lines > this.#entries.size * 4 + SPARE_LINES) await this.#mend();
      else {
        await this.#file.append(content);
        this.#lines++;
        return;
      }
      await this.#file.append(content);
      this.#lines++;
    } catch (error) {
      throw new StorageError(`the ledger of commands cannot be written: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Writes it anew, once for all who wait. */
  #mend(): Promise<void> {
    this.#mending ??= this.#rewrite().finally(() => {
      this.#mending = undefined;
    });
    return this.#mending;
  }

  async #rewrite(): Promise<void> {
    const now = this.#parts.wallMs();
    for (const [id, entry] of this.#entries) {
      if (entry.state === "told" && entry.expires + REMEMBER_MS < now) this.#entries.delete(id);
    }
    const lines = [...this.#entries.values()].flatMap(linesOf);
    await this.#file.replace(lines);
    this.#lines = lines.length;
  }

  #replay(given: unknown): void {
    const read = line.safeParse(given);
    if (!read.success) return;
    const { data } = read;
    switch (data.at) {
      case "taken": {
        const { at: _, from, ...command } = data;
        this.#entries.set(data.id, { state: "taken", command, from });
        break;
      }
      case "writing": {
        const entry = this.#entries.get(data.id);
        if (entry?.state === "taken") this.#entries.set(data.id, { ...entry, state: "writing" });
        break;
      }
      case "done": {
        const { at: _, ...entry } = data;
        if (isResult(entry.result)) this.#entries.set(data.id, { state: "done", ...entry });
        break;
      }
      case "told": {
        const { at: _, ...entry } = data;
        this.#entries.set(data.id, { state: "told", ...entry });
      }
    }
  }
}

function linesOf(entry: Entry): object[] {
  switch (entry.state) {
    case "taken":
    case "writing": {
      const taken = { at: "taken", ...entry.command, from: entry.from };
      return entry.state === "taken" ? [taken] : [taken, { at: "writing", id: entry.command.id }];
    }
    case "done": {
      const { state: _, ...rest } = entry;
      return [{ at: "done", ...rest }];
    }
    case "told": {
      const { state: _, ...rest } = entry;
      return [{ at: "told", ...rest }];
    }
  }
}

function isResult(text: string): boolean {
  try {
    return result.safeParse(JSON.parse(text)).success;
  } catch {
    return false;
  }
}
