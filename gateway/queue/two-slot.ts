import { type FileHandle, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { moreCrc } from "./crc.ts";
import { errorCode, replaceFile, syncFolder } from "./files.ts";

const MAGIC = 0x4d52_5331; // "MRS1"
const HEAD = 20;
const FIRST_SLOT_BYTES = 16 * 1024;

interface Slot {
  readonly generation: number;
  readonly content: unknown;
}

/**
 * A small JSON state that survives a power cut in the middle of a write: two slots with checksums, of which the valid
 * one with the higher generation counts. Until an fsync only the slot that is not known to be on disk is overwritten.
 * Calls must not overlap.
 */
export class TwoSlotFile {
  readonly #path: string;
  #file: FileHandle | undefined;
  #slotBytes = FIRST_SLOT_BYTES;
  #generation = 0;
  /** The slot the next write goes to. */
  #target = 0;
  #unsynced = false;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Opens or makes the file. Gives the content that counts; undefined where there is none.
   * `damaged` tells that the file was there and neither slot was valid.
   */
  async open(): Promise<{ content: unknown; damaged: boolean }> {
    const found = await this.#read();
    const slots = found ? [slotAt(found, 0), slotAt(found, found.length / 2)] : [];
    const [a, b] = slots;
    const best = (a?.generation ?? -1) >= (b?.generation ?? -1) ? 0 : 1;
    const content = slots[best]?.content;
    if (found && found.length >= 2 * FIRST_SLOT_BYTES) this.#slotBytes = Math.floor(found.length / 2);
    else await this.#make(FIRST_SLOT_BYTES);
    this.#file = await open(this.#path, "r+");
    // What was read may never have left the page cache of a killed process.
    await this.#file.datasync();
    this.#generation = slots[best]?.generation ?? 0;
    this.#target = slots[best] ? 1 - best : 0;
    return { content, damaged: found?.some((byte) => byte !== 0) === true && content === undefined };
  }

  /** Writes and, where `sync` says so, fsyncs. Gives the bytes written. @throws the system's error; write again. */
  async write(content: unknown, sync: boolean): Promise<number> {
    const body = Buffer.from(JSON.stringify(content));
    if (HEAD + body.length > this.#slotBytes) return await this.#grow(content, body.length);
    const bytes = encodeSlot(this.#generation + 1, body);
    const { bytesWritten } = await this.#handle().write(bytes, 0, bytes.length, this.#target * this.#slotBytes);
    if (bytesWritten < bytes.length) throw new Error("No space left on device: the state was written in part");
    this.#generation++;
    this.#unsynced = true;
    if (sync) await this.sync();
    return bytes.length;
  }

  async sync(): Promise<void> {
    if (!this.#unsynced) return;
    await this.#handle().datasync();
    this.#unsynced = false;
    this.#target = 1 - this.#target;
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  #handle(): FileHandle {
    if (!this.#file) throw new Error("two-slot file is not open");
    return this.#file;
  }

  async #read(): Promise<Buffer | undefined> {
    try {
      const file = await open(this.#path, "r");
      try {
        return await file.readFile();
      } finally {
        await file.close();
      }
    } catch (error) {
      if (errorCode(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  async #make(slotBytes: number): Promise<void> {
    await replaceFile(this.#path, Buffer.alloc(2 * slotBytes));
    await syncFolder(dirname(this.#path));
    this.#slotBytes = slotBytes;
  }

  /** Rewrites the file with larger slots; the content goes into the first. */
  async #grow(content: unknown, bodyBytes: number): Promise<number> {
    let slotBytes = this.#slotBytes;
    while (HEAD + bodyBytes > slotBytes) slotBytes *= 2;
    const bytes = Buffer.alloc(2 * slotBytes);
    encodeSlot(this.#generation + 1, Buffer.from(JSON.stringify(content))).copy(bytes);
    await replaceFile(this.#path, bytes);
    const next = await open(this.#path, "r+");
    await this.#file?.close();
    this.#file = next;
    this.#slotBytes = slotBytes;
    this.#generation++;
    this.#target = 1;
    this.#unsynced = false;
    return bytes.length;
  }
}

/** The content of such a file that nobody has open; undefined where there is none. Changes nothing. */
export async function readTwoSlot(path: string): Promise<unknown> {
  const found = await readFile(path).catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  });
  if (!found) return undefined;
  const slots = [slotAt(found, 0), slotAt(found, found.length / 2)];
  return slots.sort((a, b) => (b?.generation ?? -1) - (a?.generation ?? -1))[0]?.content;
}

function encodeSlot(generation: number, body: Buffer): Buffer {
  const slot = Buffer.alloc(HEAD + body.length);
  slot.writeUInt32BE(MAGIC, 0);
  slot.writeBigUInt64BE(BigInt(generation), 4);
  slot.writeUInt32BE(body.length, 12);
  body.copy(slot, HEAD);
  slot.writeUInt32BE(slotCrc(slot), 16);
  return slot;
}

function slotCrc(slot: Buffer): number {
  return moreCrc(moreCrc(0, slot.subarray(0, 16)), slot.subarray(HEAD));
}

function slotAt(file: Buffer, at: number): Slot | undefined {
  if (file.length < at + HEAD || file.readUInt32BE(at) !== MAGIC) return undefined;
  const end = at + HEAD + file.readUInt32BE(at + 12);
  if (end > file.length) return undefined;
  const slot = file.subarray(at, end);
  if (slotCrc(slot) !== slot.readUInt32BE(16)) return undefined;
  try {
    return { generation: Number(slot.readBigUInt64BE(4)), content: JSON.parse(slot.toString("utf8", HEAD)) };
  } catch {
    return undefined;
  }
}
