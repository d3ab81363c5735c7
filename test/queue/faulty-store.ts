import type { OpenSegment, Pair, SegmentStore } from "../../gateway/queue/segment-store.ts";

/** What the N-th write does: nothing is written, or it is written and fails all the same. */
export type Fault = "lost" | "written";

/** An engine that fails as told. Reading is left alone. */
export class FaultyStore implements SegmentStore {
  readonly #engine: SegmentStore;
  /** Called with the number of a write, from 1 over all segments. Gives what goes wrong with it. */
  fault: (write: number) => Fault | undefined = () => undefined;
  /** Whether making a segment fails. */
  noCreate = false;
  writes = 0;
  faults = 0;
  /** Folders that were opened for reading. */
  readonly opened: string[] = [];
  /** What each write asked for; a write of nothing but the key `S` is called `S`. */
  readonly log: string[] = [];
  /** Handles that were written to after a write to them had failed. */
  writtenAfterFault = 0;

  constructor(engine: SegmentStore) {
    this.#engine = engine;
  }

  async create(folder: string, header: Pair): Promise<OpenSegment> {
    if (this.noCreate) throw new Error("IO error: No space left on device");
    return this.#wrap(await this.#engine.create(folder, header));
  }
  async open(folder: string, base: number): Promise<OpenSegment> {
    this.opened.push(folder);
    return await this.#engine.open(folder, base);
  }
  header(folder: string): ReturnType<SegmentStore["header"]> {
    return this.#engine.header(folder);
  }

  #wrap(open: OpenSegment): OpenSegment {
    let poisoned = false;
    const write = async (pairs: readonly Pair[], sync: boolean) => {
      if (poisoned) this.writtenAfterFault++;
      const only = pairs.length === 1 && pairs[0]?.key.toString() === "S";
      this.log.push(`${only ? "S" : "records"}${sync ? " sync" : ""}`);
      const fault = this.fault(++this.writes);
      if (fault !== "lost") await open.write(pairs, sync);
      if (!fault) return;
      poisoned = true;
      this.faults++;
      throw new Error("IO error: Input/output error");
    };
    return {
      header: open.header,
      write,
      read: (from, to, maxRecords, maxBytes) => open.read(from, to, maxRecords, maxBytes),
      sourceOf: (id) => open.sourceOf(id),
      know: (id, source) => open.know(id, source),
      close: () => open.close(),
    };
  }
}
