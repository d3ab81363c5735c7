import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SessionPersistence } from "../../gateway/broker/persistence.ts";
import type { StoredPacket } from "../../gateway/broker/session.ts";
import { type JournalLoss, SessionJournal } from "../../gateway/broker/session-journal.ts";
import { SessionKeeper } from "../../gateway/broker/session-keeper.ts";
import type { Drop } from "../../gateway/broker/session-losses.ts";
import { SessionStore } from "../../gateway/broker/session-store.ts";
import { brokerOptions } from "../../gateway/core/options/broker.ts";
import { cleanUp, type LogLine, recordingLogger } from "./support.ts";

export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "millrace-sessions-"));
  cleanUp(() => {
    rmSync(path, { recursive: true, force: true });
    return Promise.resolve();
  });
  return path;
}

export interface Kept {
  readonly persistence: SessionPersistence;
  readonly keeper: SessionKeeper;
  readonly store: SessionStore;
  readonly journal: SessionJournal;
  readonly loss: JournalLoss | undefined;
  readonly dropped: Drop[];
  readonly released: string[];
  readonly forgotten: string[];
  readonly log: LogLine[];
  /** Ends this life as SIGKILL would: nothing is written any more. */
  close(): Promise<void>;
}

export interface KeptWants {
  readonly path?: string;
  readonly options?: object;
  readonly wallMs?: () => number | undefined;
}

/** The sessions of one life, on real files. */
export async function keptSessions({
  path = folder(),
  options = {},
  wallMs = () => 1e12,
}: KeptWants = {}): Promise<Kept> {
  const { sessions, retained } = brokerOptions.parse(options);
  const store = new SessionStore(sessions, retained);
  const log: LogLine[] = [];
  const parts = { folder: path, store, syncMs: 1000, wallMs, monoMs: () => performance.now() };
  const journal = new SessionJournal({ ...parts, log: recordingLogger(log) });
  const loss = await journal.open();
  const dropped: Drop[] = [];
  const released: string[] = [];
  const forgotten: string[] = [];
  const keeper = new SessionKeeper({
    store,
    journal,
    wallMs,
    onDropped: (drop) => dropped.push(drop),
    onForgotten: (clientId) => forgotten.push(clientId),
  });
  const persistence = new SessionPersistence(
    keeper,
    (clientId, packetId) => released.push(`${clientId} ${packetId}`),
    (clientId) => forgotten.push(clientId),
  );
  const close = () => journal.close();
  cleanUp(close);
  return { persistence, keeper, store, journal, loss, dropped, released, forgotten, log, close };
}

export function message(
  number: number,
  payload = "x",
  topic = "a/b",
): StoredPacket & { topic: string; payload: Buffer } {
  return { cmd: "publish", topic, payload: Buffer.from(payload), qos: 1, brokerId: "broker", brokerCounter: number };
}

export async function collect(stream: AsyncIterable<StoredPacket>): Promise<StoredPacket[]> {
  const packets: StoredPacket[] = [];
  for await (const packet of stream) packets.push(packet);
  return packets;
}

export const texts = (packets: readonly StoredPacket[]) => packets.map(({ payload }) => String(payload));
