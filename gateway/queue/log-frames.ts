import type { FileHandle } from "node:fs/promises";

/** LevelDB's log format: blocks of 32 KiB, in them fragments with a header of crc32c (4), length (2), type (1). */
const BLOCK = 32 * 1024;
const HEADER = 7;
const CHUNK = 8 * BLOCK;

const FULL = 1;
const FIRST = 2;
const MIDDLE = 3;
const LAST = 4;

/** What one write put into the log; or, with `whole` false, what is left of one, or bytes of which nothing is known. */
export interface Frame {
  /** Where it begins in the file. */
  readonly at: number;
  readonly data: Buffer;
  readonly whole: boolean;
}

/**
 * Goes through a log file of LevelDB without changing it. Damage never ends it: what cannot be made out in a block is
 * given as it is, and it goes on with the next block. Checksums of fragments are not checked: the content has its own.
 */
export class LogFrames {
  readonly #file: FileHandle;
  #chunk: Buffer = Buffer.alloc(0);
  /** Where the chunk begins in the file: always the beginning of a block. */
  #chunkAt: number;
  /** The next byte to look at, in the chunk. */
  #pos = 0;
  #skip: number;
  #pieces: Buffer[] = [];
  #piecesAt = 0;
  #headless = false;
  #ended = false;

  /** `at` is the beginning of the file or of a frame that was found before. */
  constructor(file: FileHandle, at: number) {
    this.#file = file;
    this.#chunkAt = at - (at % BLOCK);
    this.#skip = at % BLOCK;
  }

  /** The next frame of what was loaded; undefined when more has to be loaded. */
  next(): Frame | undefined {
    while (!this.#ended && this.#pos < this.#chunk.length) {
      const inBlock = BLOCK - (this.#pos % BLOCK);
      if (inBlock < HEADER) {
        this.#pos += inBlock;
        continue;
      }
      const frame = this.#fragment(inBlock);
      if (frame) return frame;
    }
    return this.#ended ? this.#broken() : undefined;
  }

  /** Loads the next piece of the file. Gives false when all frames were given. @throws the system's error. */
  async load(): Promise<boolean> {
    if (this.#ended) return false;
    const at = this.#chunkAt + this.#chunk.length;
    const chunk = Buffer.allocUnsafeSlow(CHUNK);
    let length = 0;
    while (length < CHUNK) {
      const { bytesRead } = await this.#file.read(chunk, length, CHUNK - length, at + length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    this.#ended = length === 0;
    this.#chunk = chunk.subarray(0, length);
    this.#chunkAt = at;
    this.#pos = this.#skip;
    this.#skip = 0;
    return !this.#ended || this.#pieces.length > 0;
  }

  #fragment(inBlock: number): Frame | undefined {
    const chunk = this.#chunk;
    const start = this.#pos;
    const at = this.#chunkAt + start;
    const left = chunk.length - start;
    const length = left < HEADER ? 0 : chunk.readUInt16LE(start + 4);
    const type = left < HEADER ? 0 : (chunk[start + 6] ?? 0);
    if (type < FULL || type > LAST || HEADER + length > inBlock) {
      const broken = this.#broken();
      if (broken) return broken;
      this.#pos = start + Math.min(inBlock, left);
      return { at, data: chunk.subarray(start, this.#pos), whole: false };
    }
    if ((type === FULL || type === FIRST) && this.#pieces.length > 0) return this.#broken();
    const data = chunk.subarray(start + HEADER, start + HEADER + length);
    this.#pos = Math.min(start + HEADER + length, chunk.length);
    const torn = data.length < length;
    if (type === FULL) return { at, data, whole: !torn };
    if (this.#pieces.length === 0) {
      this.#piecesAt = at;
      this.#headless = type === MIDDLE || type === LAST;
    }
    this.#pieces.push(data);
    if (type !== LAST && !torn) return undefined;
    const whole = !torn && !this.#headless;
    return { at: this.#piecesAt, data: this.#taken(), whole };
  }

  /** What was gathered of a frame whose rest did not come. */
  #broken(): Frame | undefined {
    return this.#pieces.length > 0 ? { at: this.#piecesAt, data: this.#taken(), whole: false } : undefined;
  }

  #taken(): Buffer {
    const pieces = this.#pieces;
    this.#pieces = [];
    return Buffer.concat(pieces);
  }
}
