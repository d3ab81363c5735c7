import { ConfigError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { type Gap, STREAMS, type StreamName } from "../core/record.ts";
import { ClockDebt } from "./clock-debt.ts";
import type { CursorState } from "./cursor.ts";
import { CursorFile } from "./cursor-file.ts";
import type { Folders } from "./folders.ts";
import type { Health } from "./health.ts";
import { type Identity, newEpoch, newStore, readIdentity, writeIdentity } from "./identity.ts";
import { FORMAT, type SegmentHeader } from "./meta.ts";
import { Registry } from "./registry.ts";
import { Row } from "./row.ts";
import { type LostSegment, scanStream } from "./scan.ts";
import type { Segment } from "./segment.ts";
import type { SegmentStore } from "./segment-store.ts";
import { FRESH, SeqFile, type SeqMark } from "./seqs.ts";
import type { Shelf } from "./shelf.ts";
import type { Slot } from "./slots.ts";
import type { Totals } from "./totals.ts";
import { cursorStates, owedAll, type PerStream, perStream, UplinkState } from "./uplink-state.ts";

/** How far seqs jump when their mark was lost but segments are there: more than can be written and lost in a power cut. */
const LOST_MARK_JUMP = 1_000_000;

export interface RecoveryParts {
  readonly folders: Folders;
  readonly engine: SegmentStore;
  readonly shelf: Shelf;
  readonly health: Health;
  readonly totals: Totals;
  readonly log: Logger;
  readonly machineId: string;
  readonly onGap: (uplink: string, gap: Gap) => void;
}

/** A store as the last run left it, ready to go on. */
export interface Recovered {
  readonly rows: PerStream<Row>;
  /** Per stream, the last selected seq of a chain slot. */
  readonly heads: PerStream<(slot: number) => number>;
  readonly uplinks: Map<string, UplinkState>;
  readonly registry: Registry;
  readonly seqs: SeqFile;
}

/** Reads a store and settles what an unclean stop left open. The folder is locked. */
export async function recover(parts: RecoveryParts): Promise<Recovered> {
  const { folders, totals, log } = parts;
  const onWritten = (bytes: number, fsyncs: number) => totals.wrote(bytes, fsyncs);
  await folders.emptyTrash();
  const seqs = new SeqFile(folders.state("seq"), onWritten);
  const registry = new Registry(folders.state("uplinks"), onWritten);
  const files = new Map<string, CursorFile>();
  try {
    const marks = await seqs.open();
    const known = await registry.open();
    const { identity, before } = await identify(parts, marks !== undefined);
    const lost: LostSegment[] = [];
    const found: Record<StreamName, Segment[]> = { events: [], telemetry: [] };
    const scan = { folders, engine: parts.engine, shelf: parts.shelf, identity: before };
    for (const stream of STREAMS) {
      const end = (marks?.[stream].reserved ?? 1) - 1;
      found[stream] = await scanStream(stream, end, { ...scan, onLost: (segment) => lost.push(segment) });
    }
    for (const { folder, error } of lost) {
      totals.quarantined++;
      log.error({ segment: folder, reason: String(error) }, "damaged segment set aside");
    }
    const starts = perStream((stream) => startOf(stream, marks?.[stream], found[stream], lost));
    const rows = perStream((stream) => rowOf(identity, stream, starts[stream].next, found[stream]));
    for (const slot of slotsIn(rows)) registry.avoid(slot);
    if (known.damaged) log.error({}, "list of uplinks unreadable, taking them as new");
    const uplinks = new Map<string, UplinkState>();
    for (const [name, slots] of known.uplinks) {
      const file = new CursorFile(folders.state(`cursor-${name}`), `cursor ${name}`, parts.health, onWritten);
      files.set(name, file);
      const lostCursor = () => perStream((stream) => owedWithoutCursor(rows[stream], starts[stream], lost));
      uplinks.set(name, await uplinkOf(name, slots, file, { rows, lostCursor }, parts));
    }
    for (const uplink of uplinks.values()) settleLosses(uplink, rows, starts, lost, before.epoch);
    await Promise.all([...uplinks.values()].map((uplink) => uplink.file.flush()));
    const sameEpoch = identity.epoch === before.epoch;
    const heads = perStream((stream) => headsOf(starts[stream], sameEpoch));
    return { rows, heads, uplinks, registry, seqs };
  } catch (error) {
    for (const file of [...files.values(), registry, seqs]) await file.close().catch(() => {});
    throw error;
  }
}

/** Who this store is now, and who it was when its segments were written. */
async function identify(parts: RecoveryParts, hasMarks: boolean): Promise<{ identity: Identity; before: Identity }> {
  const { folders, log, machineId } = parts;
  const found = await readIdentity(folders.dataDir);
  const anySegment = (await Promise.all(STREAMS.map((stream) => folders.segments(stream)))).some(
    (all) => all.length > 0,
  );
  const before = found ?? (anySegment ? await fromSegments(parts) : undefined);
  if (!before) {
    const identity = { format: FORMAT, store: newStore(), epoch: newEpoch(), machine: machineId, created: Date.now() };
    await writeIdentity(folders.dataDir, identity);
    return { identity, before: identity };
  }
  const cloned = before.machine !== "" && before.machine !== machineId;
  const emptied = !hasMarks && !anySegment;
  if (cloned || emptied) log.warn({ cloned, emptied }, "new epoch begins");
  const epoch = cloned || emptied ? newEpoch() : before.epoch;
  const identity = { ...before, epoch, machine: machineId };
  if (!found || epoch !== before.epoch || machineId !== before.machine) await writeIdentity(folders.dataDir, identity);
  return { identity, before };
}

/** The identity was lost: the newest segment that can be opened knows it. */
async function fromSegments(parts: RecoveryParts): Promise<Identity | undefined> {
  const folders = (await Promise.all(STREAMS.map((stream) => parts.folders.segments(stream)))).flat().reverse();
  for (const { folder } of folders) {
    let header: SegmentHeader | undefined;
    try {
      header = await parts.engine.header(folder);
    } catch {
      continue;
    }
    if (!header) continue;
    parts.log.error({}, "identity of the store was lost and taken from a segment");
    return { format: FORMAT, store: header.store, epoch: header.epoch, machine: "", created: Date.now() };
  }
  return undefined;
}

/** Where a stream goes on. */
interface Start {
  readonly next: number;
  /** Last seq that is on disk. */
  readonly last: number;
  /** The last stop was unclean: what lies between may have been written and lost. */
  readonly unclean: boolean;
  readonly heads: Readonly<Record<string, number>>;
}

function startOf(
  stream: StreamName,
  mark: SeqMark | undefined,
  found: readonly Segment[],
  lost: readonly LostSegment[],
): Start {
  const last = found.at(-1)?.last ?? 0;
  if (mark) return { last, next: Math.max(mark.reserved, last + 1), unclean: mark.open, heads: mark.heads };
  const inLost = Math.max(0, ...lost.filter((segment) => segment.stream === stream).map((segment) => segment.from));
  const known = Math.max(last, inLost);
  if (known === 0) return { last, next: FRESH.reserved, unclean: false, heads: {} };
  return { last, next: known + LOST_MARK_JUMP, unclean: true, heads: {} };
}

function rowOf(identity: Identity, stream: StreamName, next: number, found: readonly Segment[]): Row {
  const row = new Row(stream, identity.store, identity.epoch, next);
  for (const segment of found) row.segments.push(segment);
  return row;
}

function headsOf(start: Start, sameEpoch: boolean): (slot: number) => number {
  if (!sameEpoch) return () => 0;
  return start.unclean ? () => start.next - 1 : (slot) => start.heads[slot] ?? 0;
}

function slotsIn(rows: PerStream<Row>): number[] {
  return STREAMS.flatMap((stream) => rows[stream].segments.all.flatMap((segment) => [...segment.tally.slots.keys()]));
}

async function uplinkOf(
  name: string,
  slots: readonly Slot[],
  file: CursorFile,
  { rows, lostCursor }: { rows: PerStream<Row>; lostCursor: () => PerStream<CursorState> },
  { log, onGap }: RecoveryParts,
): Promise<UplinkState> {
  const { content } = await file.open();
  const found = cursorStates(content);
  if (!found) log.error({ uplink: name }, "cursor was lost, everything retained is sent again");
  const states = found ?? lostCursor();
  return new UplinkState(name, { file, rows, slots, states, onGap, clocks: ClockDebt.of(content) });
}

/** What was set aside and what a power cut took is owed too, so that it becomes a gap. */
function owedWithoutCursor(row: Row, { next, unclean }: Start, lost: readonly LostSegment[]): CursorState {
  const aside = lost.flatMap(({ stream, from, to }) =>
    stream === row.stream ? { first: from, last: Math.min(to, next - 1) } : [],
  );
  const held = [...row.segments.all, ...aside].sort((a, b) => a.first - b.first);
  return owedAll(held, next, unclean ? Math.max(1, next - LOST_MARK_JUMP) : undefined);
}

function settleLosses(
  uplink: UplinkState,
  rows: PerStream<Row>,
  starts: PerStream<Start>,
  lost: readonly LostSegment[],
  epoch: number,
): void {
  for (const { stream, from, to, epoch: of } of lost) {
    const end = Math.min(to, rows[stream].nextSeq - 1);
    uplink.cursors[stream].lose(from, end, { reason: "damaged", epoch: of, exact: false });
  }
  for (const stream of STREAMS) {
    const { last, next, unclean } = starts[stream];
    if (unclean) uplink.cursors[stream].lose(last + 1, next - 1, { reason: "power-loss", epoch, exact: false });
  }
}

/** @throws ConfigError as `readIdentity`, before anything is touched. */
export async function refuseNewer(dataDir: string): Promise<void> {
  try {
    await readIdentity(dataDir);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    // Whatever else is wrong shows when it is opened.
  }
}
