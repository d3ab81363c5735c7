import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { AuditEvent } from "../core/audit.ts";

/** What the first line of all names as the one before it. */
export const GENESIS = "0".repeat(64);
/** The action of the entry that tells that the oldest file was removed; its target is `SEQ HASH` of that file's last line. */
export const TRIM = "audit.trim";

const MOST = 256;
const NAME = /^audit-(\d{12})\.ndjson$/;
const TAIL = /,"hash":"([0-9a-f]{64})"\}$/;

const shape = z.strictObject({
  seq: z.number().int().positive(),
  time: z.string(),
  clock: z.enum(["synced", "unsynced"]),
  actor: z.string(),
  address: z.string().optional(),
  action: z.string(),
  target: z.string().optional(),
  outcome: z.enum(["ok", "refused", "failed"]),
  detail: z.string().optional(),
  prev: z.string(),
  hash: z.string(),
});
/** One line of the audit file. */
export type AuditEntry = z.infer<typeof shape>;

/** What the next line hangs on. */
export interface Head {
  readonly seq: number;
  readonly hash: string;
}

/** A line without its line end, and what the next one hangs on. The hash is SHA-256 of the line without its last key. */
export function lineOf(
  head: Head,
  event: AuditEvent,
  at: { readonly wallMs: number; readonly clock: "synced" | "unsynced" },
): { readonly line: string; readonly head: Head } {
  const { actor, address, action, target, outcome, detail } = event;
  const seq = head.seq + 1;
  const body = JSON.stringify({
    seq,
    time: new Date(at.wallMs).toISOString(),
    clock: at.clock,
    actor: cut(actor),
    address: cut(address),
    action: cut(action),
    target: cut(target),
    outcome,
    detail: cut(detail),
    prev: head.hash,
  });
  const hash = sha256(body);
  return { line: `${body.slice(0, -1)},"hash":"${hash}"}`, head: { seq, hash } };
}

/** The entry of a line, or what is wrong with the line by itself. */
export function readLine(line: string): AuditEntry | { readonly fault: string } {
  const hash = TAIL.exec(line)?.[1];
  if (hash === undefined) return { fault: "it is not a whole line" };
  if (sha256(`${line.slice(0, -(hash.length + 11))}}`) !== hash) return { fault: "its content was changed" };
  try {
    return shape.parse(JSON.parse(line));
  } catch {
    return { fault: "it is not an entry" };
  }
}

export function auditFolder(dataDir: string): string {
  return join(dataDir, "state", "audit");
}

export function fileName(firstSeq: number): string {
  return `audit-${String(firstSeq).padStart(12, "0")}.ndjson`;
}

/** Files of the chain, oldest first. @throws what the disk says, but for a folder that is not there. */
export async function filesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => NAME.test(name)).sort();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

/** The seq of the first line, as a file's name says. */
export function firstSeqOf(name: string): number {
  return Number(NAME.exec(name)?.[1] ?? 0);
}

function cut<T extends string | undefined>(text: T): T | string {
  return text !== undefined && text.length > MOST ? `${text.slice(0, MOST - 1)}…` : text;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
