import { randomBytes } from "node:crypto";
import { STREAMS, type StreamName } from "../core/record.ts";
import type { Slot } from "./slots.ts";
import { TwoSlotFile } from "./two-slot.ts";

/** The file `state/uplinks`: every uplink the store has seen, and the chain slots it was given. */
export class Registry {
  readonly #file: TwoSlotFile;
  readonly #onWritten: (bytes: number, fsyncs: number) => void;
  #uplinks: Readonly<Record<string, readonly Slot[]>> = {};
  #next = 1;

  constructor(path: string, onWritten: (bytes: number, fsyncs: number) => void) {
    this.#file = new TwoSlotFile(path);
    this.#onWritten = onWritten;
  }

  /** Gives the uplinks on disk, and whether there were some that cannot be read. */
  async open(): Promise<{ uplinks: ReadonlyMap<string, readonly Slot[]>; damaged: boolean }> {
    const { content, damaged } = await this.#file.open();
    if (!isRegistry(content)) return { uplinks: new Map(), damaged: damaged || content !== undefined };
    this.#uplinks = content.uplinks;
    this.#next = content.next;
    return { uplinks: new Map(Object.entries(content.uplinks)), damaged: false };
  }

  /** Slots up to this are in use by segments, whatever the file says. */
  avoid(slot: number): void {
    this.#next = Math.max(this.#next, slot + 1);
  }

  /** A new slot, with a chain of its own; nothing is written yet. */
  newSlot(select: string, first: Readonly<Record<StreamName, number>>): Slot {
    return { slot: this.#next, chain: randomBytes(4).toString("hex"), select, first };
  }

  /** Writes the slots of an uplink, fsynced. @throws the system's error. */
  async write(uplink: string, slots: readonly Slot[]): Promise<void> {
    await this.#write(
      { ...this.#uplinks, [uplink]: slots },
      Math.max(this.#next, ...slots.map(({ slot }) => slot + 1)),
    );
  }

  /** Takes an uplink out, fsynced; its slots are never used again. @throws the system's error. */
  async remove(uplink: string): Promise<void> {
    await this.#write(
      Object.fromEntries(Object.entries(this.#uplinks).filter(([name]) => name !== uplink)),
      this.#next,
    );
  }

  async #write(uplinks: Readonly<Record<string, readonly Slot[]>>, next: number): Promise<void> {
    this.#onWritten(await this.#file.write({ format: 1, next, uplinks }, true), 1);
    this.#uplinks = uplinks;
    this.#next = next;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** The uplinks in the content of the file; undefined where it has none that can be trusted. */
export function registeredUplinks(content: unknown): ReadonlyMap<string, readonly Slot[]> | undefined {
  return isRegistry(content) ? new Map(Object.entries(content.uplinks)) : undefined;
}

interface RegistryContent {
  readonly next: number;
  readonly uplinks: Readonly<Record<string, readonly Slot[]>>;
}

function isRegistry(content: unknown): content is RegistryContent {
  if (typeof content !== "object" || content === null) return false;
  const found = content as Partial<Record<keyof RegistryContent, unknown>>;
  return (
    Number.isSafeInteger(found.next) &&
    typeof found.uplinks === "object" &&
    found.uplinks !== null &&
    Object.values(found.uplinks).every((slots) => Array.isArray(slots) && slots.length > 0 && slots.every(isSlot))
  );
}

function isSlot(found: unknown): found is Slot {
  if (typeof found !== "object" || found === null) return false;
  const slot = found as Partial<Slot>;
  return (
    Number.isSafeInteger(slot.slot) &&
    typeof slot.chain === "string" &&
    typeof slot.select === "string" &&
    STREAMS.every((stream) => Number.isSafeInteger(slot.first?.[stream]))
  );
}
