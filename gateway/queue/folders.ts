import { randomBytes } from "node:crypto";
import { rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { STREAMS, type StreamName } from "../core/record.ts";
import { makeFolder, namesIn, removeFolder, syncFolder } from "./files.ts";

const NAME = /^(\d{16})-(\d+)$/;

export interface FoundFolder {
  readonly first: number;
  readonly generation: number;
  readonly folder: string;
}

/** Where things lie in the data folder, and how a segment leaves it. */
export class Folders {
  readonly dataDir: string;

  constructor(dataDir: string) {
    this.dataDir = dataDir;
  }

  async make(): Promise<void> {
    await makeFolder(join(this.dataDir, "state"));
    for (const stream of STREAMS) await makeFolder(this.stream(stream));
    await makeFolder(this.#trash);
    await syncFolder(join(this.dataDir, "queue"));
    await syncFolder(this.dataDir);
  }

  state(name: string): string {
    return join(this.dataDir, "state", name);
  }
  get queue(): string {
    return join(this.dataDir, "queue");
  }
  stream(stream: StreamName): string {
    return join(this.queue, stream);
  }
  segment(stream: StreamName, first: number, generation: number): string {
    return join(this.stream(stream), `${String(first).padStart(16, "0")}-${generation}`);
  }

  /** The segment folders of a stream, by first seq and then generation. */
  async segments(stream: StreamName): Promise<FoundFolder[]> {
    const found: FoundFolder[] = [];
    for (const name of await namesIn(this.stream(stream))) {
      const match = NAME.exec(name);
      if (!match) continue;
      found.push({ first: Number(match[1]), generation: Number(match[2]), folder: join(this.stream(stream), name) });
    }
    return found.sort((a, b) => a.first - b.first || a.generation - b.generation);
  }

  /** Removes a segment for good. After a power cut it is there as a whole or gone. */
  async discard(folder: string): Promise<void> {
    const gone = join(this.#trash, uniqueName(folder));
    await rename(folder, gone);
    await syncFolder(dirname(folder));
    await removeFolder(gone);
  }

  /** Finishes what an earlier run began to remove. */
  async emptyTrash(): Promise<void> {
    for (const name of await namesIn(this.#trash)) await removeFolder(join(this.#trash, name));
  }

  get #trash(): string {
    return join(this.dataDir, "queue", "trash");
  }
}

function uniqueName(folder: string): string {
  return `${basename(dirname(folder))}-${basename(folder)}-${randomBytes(4).toString("hex")}`;
}
