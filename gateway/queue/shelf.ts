import type { CrashGuard } from "./crash-guard.ts";
import { folderBytes } from "./files.ts";
import type { Segment } from "./segment.ts";
import type { OpenSegment, SegmentStore } from "./segment-store.ts";
import { Wakeup } from "./wakeup.ts";

/** Old segments open for reading at once, over all uplinks and streams: each costs memory and handles. */
const MOST_OLD = 2;

interface Place {
  readonly segment: Segment;
  readonly open: Promise<OpenSegment>;
  users: number;
  /** The segment that is appended to is never closed to make room. */
  pinned: boolean;
  /** Closed as soon as nobody uses it. */
  done: boolean;
  usedAt: number;
  /** It was opened and read from, and the process is still there. */
  proven: boolean;
  closing?: Promise<void>;
}

/** Who has which segment open. */
export class Shelf {
  readonly #store: SegmentStore;
  readonly #guard: CrashGuard;
  readonly #places = new Map<Segment, Place>();
  readonly #change = new Wakeup();
  readonly #forever = new AbortController().signal;
  #clock = 0;

  constructor(store: SegmentStore, guard: CrashGuard) {
    this.#store = store;
    this.#guard = guard;
  }

  /** Works with an open segment, which stays open meanwhile. @throws what opening or `work` throws. */
  async use<T>(segment: Segment, work: (open: OpenSegment) => Promise<T>): Promise<T> {
    const place = await this.#placeOf(segment);
    try {
      return await work(await place.open);
    } finally {
      if (!place.proven) {
        place.proven = true;
        await this.#guard.end(segment.folder);
      }
      this.#leave(place);
    }
  }

  /** Takes in the segment that is appended to, just made. */
  pin(segment: Segment, open: OpenSegment): void {
    this.#places.set(segment, {
      segment,
      open: Promise.resolve(open),
      users: 0,
      pinned: true,
      done: false,
      usedAt: ++this.#clock,
      proven: true,
    });
  }

  /** The segment was sealed: whoever reads it finishes, and then it is closed, since the engine holds all of it in memory. */
  unpin(segment: Segment): void {
    const place = this.#places.get(segment);
    if (!place) return;
    place.pinned = false;
    place.done = true;
    if (place.users === 0 && !place.closing) void this.#close(place);
  }

  /** Closes a segment once nobody uses it. The errors of closing are not interesting: nothing more is written to it. */
  async shut(segment: Segment): Promise<void> {
    for (let place = this.#places.get(segment); place; place = this.#places.get(segment)) {
      if (place.closing !== undefined) await place.closing;
      else if (place.users > 0) await this.#change.wait(this.#forever);
      else await this.#close(place);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#places.keys()].map((segment) => this.shut(segment)));
  }

  async #placeOf(segment: Segment): Promise<Place> {
    for (;;) {
      const place = this.#places.get(segment);
      if (place && !place.closing && !place.done) {
        place.users++;
        place.usedAt = ++this.#clock;
        return place;
      }
      if (place?.closing !== undefined) await place.closing;
      else if (place) await this.#change.wait(this.#forever);
      else if (this.#oldPlaces().length < MOST_OLD) this.#add(segment);
      else await this.#makeRoom();
    }
  }

  #add(segment: Segment): void {
    const open = this.#open(segment);
    const place: Place = { segment, open, users: 0, pinned: false, done: false, usedAt: ++this.#clock, proven: false };
    this.#places.set(segment, place);
    open.catch(() => {
      this.#places.delete(segment);
      this.#change.ring();
    });
  }

  async #open(segment: Segment): Promise<OpenSegment> {
    await this.#guard.begin(segment.folder);
    const open = await this.#store.open(segment.folder, segment.base);
    segment.diskBytes = await folderBytes(segment.folder);
    return open;
  }

  async #makeRoom(): Promise<void> {
    const idle = this.#idle();
    if (idle) await this.#close(idle);
    else await this.#change.wait(this.#forever);
  }

  #leave(place: Place): void {
    place.users--;
    if (place.users > 0) return;
    this.#change.ring();
    if (place.done && !place.closing) void this.#close(place);
    else this.#trim();
  }

  /** Closes what is too many and idle. */
  #trim(): void {
    const over = this.#oldPlaces().filter((place) => !place.closing).length - MOST_OLD;
    const idle = over > 0 ? this.#idle() : undefined;
    if (idle) void this.#close(idle);
  }

  #oldPlaces(): Place[] {
    return [...this.#places.values()].filter((place) => !place.pinned);
  }

  #idle(): Place | undefined {
    return this.#oldPlaces()
      .filter((place) => place.users === 0 && !place.closing)
      .sort((a, b) => a.usedAt - b.usedAt)[0];
  }

  #close(place: Place): Promise<void> {
    place.closing = this.#closeNow(place);
    return place.closing;
  }

  async #closeNow(place: Place): Promise<void> {
    await place.open.then((open) => open.close()).catch(() => {});
    this.#places.delete(place.segment);
    this.#change.ring();
  }
}
