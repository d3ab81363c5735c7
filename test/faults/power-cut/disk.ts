import { mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import type { Random } from "../../support/random.ts";
import type { Call } from "./trace.ts";

/**
 * What a power cut may leave. `dropped`, `torn`, `zeroed` and `garbage` are what becomes of data that was not fsynced;
 * directory operations survive in order up to some point, never less than what was fsynced. In `dirs-dropped` none
 * survives but those fsynced, in `dirs-reordered` any of them may, whatever came before it.
 */
export const MODELS = ["dropped", "torn", "zeroed", "garbage", "dirs-dropped", "dirs-reordered"] as const;
export type Model = (typeof MODELS)[number];

const SECTOR = 512;

interface Write {
  readonly index: number;
  readonly at: number;
  readonly data: Buffer;
}

/** A file: what is on disk for sure, and what was written since. */
class File {
  disk: Buffer = Buffer.alloc(0);
  pending: Write[] = [];

  /** Everything written before call `since` is on disk. */
  sync(since: number): void {
    const done = this.pending.filter(({ index }) => index < since);
    if (done.length === 0) return;
    this.pending = this.pending.filter(({ index }) => index >= since);
    for (const write of done) this.disk = put(this.disk, write);
  }
  get size(): number {
    return Math.max(this.disk.length, ...this.pending.map(({ at, data }) => at + data.length));
  }
}

class Folder {
  readonly entries = new Map<string, File | Folder>();
}

/** A change of one or two folders. */
interface Change {
  readonly index: number;
  readonly folders: readonly Folder[];
  readonly apply: (entriesOf: (folder: Folder) => Map<string, File | Folder>) => void;
}

/** Folders as they are on disk for sure, and the changes since. */
class Entries {
  readonly #base = new Map<Folder, Map<string, File | Folder>>();
  pending: Change[] = [];
  readonly #inOrder: boolean;

  constructor(inOrder: boolean) {
    this.#inOrder = inOrder;
  }

  /** `folder` was fsynced: its changes are on disk, and in order also all before them. */
  sync(folder: Folder, since: number): void {
    const mine = (change: Change) => change.index < since && change.folders.includes(folder);
    const last = this.pending.findLastIndex(mine);
    const goes = (change: Change, index: number) => (this.#inOrder ? index <= last : mine(change));
    for (const change of this.pending.filter(goes)) change.apply((of) => this.#of(this.#base, of));
    this.pending = this.pending.filter((change, index) => !goes(change, index));
  }

  /** The folders with those pending changes that `survives` lets through. */
  after(survives: (index: number) => boolean): (folder: Folder) => ReadonlyMap<string, File | Folder> {
    const copy = new Map([...this.#base].map(([folder, entries]) => [folder, new Map(entries)]));
    for (const [index, change] of this.pending.entries()) {
      if (survives(index)) change.apply((of) => this.#of(copy, of));
    }
    return (folder) => this.#of(copy, folder);
  }

  #of(map: Map<Folder, Map<string, File | Folder>>, folder: Folder): Map<string, File | Folder> {
    const known = map.get(folder);
    if (known) return known;
    const entries = new Map<string, File | Folder>();
    map.set(folder, entries);
    return entries;
  }
}

/** A disk below `rootPath` that is told the calls of a process one by one, and can be cut off after any of them. */
export class Disk {
  readonly #rootPath: string;
  readonly #root = new Folder();
  readonly #ordered = new Entries(true);
  readonly #loose = new Entries(false);
  readonly #offsets = new Map<number, { file: File; at: number }>();
  #index = 0;

  constructor(rootPath: string) {
    this.#rootPath = rootPath;
  }

  apply(call: Call): void {
    this.#index++;
    if (call.kind === "open") this.#open(call);
    else if (call.kind === "close") this.#offsets.delete(call.fd);
    else if (call.kind === "write") this.#write(call);
    else if (call.kind === "sync") this.#sync(call.path, call.since);
    else if (call.kind === "truncate") throw new Error("the store truncates a file: teach the simulator");
    else this.#change(call);
  }

  /** Writes what a power cut now would leave into `target`. */
  leave(model: Model, target: string, random: Random): void {
    const inOrder = model !== "dirs-dropped" && model !== "dirs-reordered";
    const entries = inOrder ? this.#ordered : this.#loose;
    const survivors = this.#survivors(model, entries.pending.length, random);
    const entriesOf = entries.after((index) => survivors[index] === true);
    const data = model === "dirs-reordered" ? (random.chance(0.5) ? "torn" : "dropped") : model;
    const write = (folder: Folder, path: string) => {
      mkdirSync(path, { recursive: true });
      for (const [name, entry] of entriesOf(folder)) {
        if (entry instanceof Folder) write(entry, join(path, name));
        else writeFileSync(join(path, name), contentAfter(entry, data, random));
      }
    };
    write(this.#root, target);
  }

  /** Every file as it is while the power is on, by its path below the root. */
  contents(): Map<string, Buffer> {
    const found = new Map<string, Buffer>();
    const visit = (folder: Folder, path: string) => {
      for (const [name, entry] of folder.entries) {
        if (entry instanceof Folder) visit(entry, join(path, name));
        else found.set(join(path, name), entry.pending.reduce(put, Buffer.from(entry.disk)));
      }
    };
    visit(this.#root, "");
    return found;
  }

  #survivors(model: Model, count: number, random: Random): boolean[] {
    if (model === "dirs-dropped") return [];
    if (model === "dirs-reordered") return Array.from({ length: count }, () => random.chance(0.5));
    const upTo = [0, count, random.whole(0, count)][random.whole(0, 2)] ?? 0;
    return Array.from({ length: upTo }, () => true);
  }

  #open({ path, flags, fd }: { path: string; flags: string; fd: number }): void {
    if (!this.#inside(path) || flags.includes("O_DIRECTORY")) return;
    let file = this.#find(path);
    if (!file && flags.includes("O_CREAT")) {
      const made = new File();
      file = made;
      this.#record([this.#folder(dirname(path))], ([entries]) => entries?.set(basename(path), made));
    }
    if (!(file instanceof File)) return;
    if (flags.includes("O_TRUNC") && file.size > 0) {
      throw new Error(`the store truncates ${path}: teach the simulator`);
    }
    this.#offsets.set(fd, { file, at: flags.includes("O_APPEND") ? file.size : 0 });
  }

  #write({ fd, path, data, at }: { fd: number; path: string; data: Buffer; at?: number }): void {
    const open = this.#offsets.get(fd);
    if (!open || !this.#inside(path)) return;
    open.file.pending.push({ index: this.#index, at: at ?? open.at, data });
    if (at === undefined) open.at += data.length;
  }

  #sync(path: string, since: number): void {
    if (!this.#inside(path)) return;
    const entry = path === this.#rootPath ? this.#root : this.#find(path);
    if (entry instanceof File) entry.sync(since + 1);
    if (!(entry instanceof Folder)) return;
    this.#ordered.sync(entry, since + 1);
    this.#loose.sync(entry, since + 1);
  }

  #change(call: Extract<Call, { kind: "rename" | "link" | "remove" | "mkdir" }>): void {
    if (call.kind === "rename" || call.kind === "link") {
      if (!this.#inside(call.from) || !this.#inside(call.to)) return;
      const entry = this.#find(call.from);
      if (!entry) throw new Error(`the trace moves ${call.from}, which is not there`);
      const target = this.#folder(dirname(call.to));
      if (call.kind === "link") {
        this.#record([target], ([to]) => to?.set(basename(call.to), entry));
        return;
      }
      this.#record([this.#folder(dirname(call.from)), target], ([from, to]) => {
        // The name may stand for another file by now, where operations are reordered.
        if (from?.get(basename(call.from)) === entry) from.delete(basename(call.from));
        to?.set(basename(call.to), entry);
      });
      return;
    }
    if (!this.#inside(call.path) || call.path === this.#rootPath) return;
    const folder = this.#folder(dirname(call.path));
    if (call.kind === "mkdir") {
      const made = new Folder();
      this.#record([folder], ([entries]) => entries?.set(basename(call.path), made));
      return;
    }
    const gone = this.#find(call.path);
    this.#record([folder], ([entries]) => {
      if (entries?.get(basename(call.path)) === gone) entries?.delete(basename(call.path));
    });
  }

  #record(folders: readonly Folder[], apply: (entries: readonly Map<string, File | Folder>[]) => void): void {
    apply(folders.map((folder) => folder.entries));
    const change: Change = { index: this.#index, folders, apply: (of) => apply(folders.map(of)) };
    this.#ordered.pending.push(change);
    this.#loose.pending.push(change);
  }

  #inside(path: string): boolean {
    return path === this.#rootPath || path.startsWith(`${this.#rootPath}/`);
  }
  #find(path: string): File | Folder | undefined {
    let at: File | Folder | undefined = this.#root;
    for (const name of relative(this.#rootPath, path).split("/").filter(Boolean)) {
      at = at instanceof Folder ? at.entries.get(name) : undefined;
    }
    return at;
  }
  #folder(path: string): Folder {
    const found = this.#find(path);
    if (found instanceof Folder) return found;
    throw new Error(`the trace uses ${path}, which is not a folder`);
  }
}

function put(content: Buffer, { at, data }: { at: number; data: Buffer }): Buffer {
  const size = Math.max(content.length, at + data.length);
  const whole = size > content.length ? Buffer.concat([content, Buffer.alloc(size - content.length)]) : content;
  data.copy(whole, at);
  return whole;
}

/** What is left of a file. What was on disk before stays, unless it was being written over. */
function contentAfter(file: File, data: Model, random: Random): Buffer {
  if (file.pending.length === 0 || data === "dropped" || data === "dirs-dropped") return file.disk;
  let content: Buffer = Buffer.from(file.disk);
  // Some of the writes reached the disk whole; of the rest, what the model says.
  for (const write of file.pending) {
    for (let from = 0; from < write.data.length; from += SECTOR) {
      const piece = write.data.subarray(from, from + SECTOR);
      if (data === "torn") {
        if (random.chance(0.5)) content = put(content, { at: write.at + from, data: piece });
        continue;
      }
      const bad = data === "zeroed" ? Buffer.alloc(piece.length) : random.bytes(piece.length);
      content = put(content, { at: write.at + from, data: random.chance(0.3) ? piece : bad });
    }
  }
  if (data !== "torn" || random.chance(0.5)) return content;
  // The tail was cut off as well.
  return content.subarray(0, random.whole(file.disk.length, content.length));
}
