import { copyFile, link, mkdir, mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { errorCode } from "./files.ts";
import type { Segment } from "./segment.ts";
import type { OpenSegment, SegmentStore } from "./segment-store.ts";
import type { Shelf } from "./shelf.ts";

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
 * disk changes.
 */
export class Aside {
  readonly #engine: SegmentStore;
  readonly #shelf: Shelf | undefined;
  #place: { readonly segment: Segment; readonly open: OpenSegment } | undefined;

  /** `shelf` has the segments that are being written; undefined where the gateway is stopped. */
  constructor(engine: SegmentStore, shelf?: Shelf) {
    this.#engine = engine;
    this.#shelf = shelf;
  }

  /** Works with an open segment. @throws what opening or `work` throws. */
  async use<T>(segment: Segment, work: (open: OpenSegment) => Promise<T>): Promise<T> {
    if (this.#place?.segment === segment) return await work(this.#place.open);
    if (this.#shelf && !segment.sealed) return await this.#shelf.use(segment, work);
    await this.close();
    this.#place = { segment, open: await this.#engine.open(segment.folder, segment.base) };
    return await work(this.#place.open);
  }

  /** Never rejects. */
  async close(): Promise<void> {
    const place = this.#place;
    this.#place = undefined;
    await place?.open.close().catch(() => {});
  }
}
