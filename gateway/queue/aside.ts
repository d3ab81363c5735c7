import { copyFile, link, mkdir, mkdtemp, readdir } from "node:fs/promises";
import { join } from "node:path";
import { errorCode, namesIn, removeFolder } from "./files.ts";
import { isPlain } from "./log-segment.ts";
import { mustBeOwner } from "./owned-lock.ts";
import type { Segment } from "./segment.ts";
import type { OpenSegment, SegmentStore } from "./segment-store.ts";
import type { Shelf } from "./shelf.ts";

/** What LevelDB opens; the rest it makes itself. */
const CONTENT = /^(CURRENT|MANIFEST-\d+|\d+\.(log|ldb|sst))$/;
const KEPT = /^kept-(\d+)$/;

/** Links a file under another name, or copies it where the file system cannot link or the disk is another. */
export async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (errorCode(error) === "ENOENT" || errorCode(error) === "EEXIST") throw error;
    await copyFile(from, to);
  }
}

/** A new folder that the next start removes, should nobody else. */
export async function trashFolder(dataDir: string, prefix: string): Promise<string> {
  const trash = join(dataDir, "queue", "trash");
  await mkdir(trash, { recursive: true });
  return await mkdtemp(join(trash, `${prefix}-`));
}

/**
 * Segments opened for a look beside delivery: one at a time, never out of the places that delivery has, and nothing on
 * disk changes. One that holds LevelDB's tables is opened as a copy made of links, since opening changes it.
 */
export class Aside {
  readonly #dataDir: string;
  readonly #engine: SegmentStore;
  readonly #shelf: Shelf | undefined;
  #place: { readonly segment: Segment; readonly open: OpenSegment; readonly copy: string | undefined } | undefined;

  /** `shelf` has the segments that are being written; undefined where the gateway is stopped. */
  constructor(dataDir: string, engine: SegmentStore, shelf?: Shelf) {
    this.#dataDir = dataDir;
    this.#engine = engine;
    this.#shelf = shelf;
  }

  /** Works with an open segment. @throws what opening or `work` throws. */
  async use<T>(segment: Segment, work: (open: OpenSegment) => Promise<T>): Promise<T> {
    if (this.#place?.segment === segment) return await work(this.#place.open);
    if (this.#shelf && !segment.sealed) return await this.#shelf.use(segment, work);
    await this.close();
    const copy = (await isPlain(segment.folder)) ? undefined : await this.#copyOf(segment);
    try {
      const open = await this.#engine.open(copy ?? segment.folder, segment.base);
      this.#place = { segment, open, copy };
    } catch (error) {
      if (copy !== undefined) await removeFolder(copy).catch(() => {});
      throw error;
    }
    return await work(this.#place.open);
  }

  /** Never rejects. */
  async close(): Promise<void> {
    const place = this.#place;
    this.#place = undefined;
    await place?.open.close().catch(() => {});
    if (place?.copy !== undefined) await removeFolder(place.copy).catch(() => {});
  }

  async #copyOf(segment: Segment): Promise<string> {
    await mustBeOwner(this.#dataDir);
    const copy = await trashFolder(this.#dataDir, "look");
    const from = (await keptFiles(segment.folder)) ?? segment.folder;
    for (const name of await namesIn(from)) {
      if (CONTENT.test(name)) await linkOrCopy(join(from, name), join(copy, name));
    }
    return copy;
  }
}

/** Where an opening by LevelDB was not finished: the folder in which the files from before it are kept, if it is whole. */
async function keptFiles(folder: string): Promise<string | undefined> {
  for (const name of await namesIn(folder)) {
    const count = KEPT.exec(name)?.[1];
    if (count !== undefined && (await readdir(join(folder, name))).length === Number(count)) return join(folder, name);
  }
  return undefined;
}
