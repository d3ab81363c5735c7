import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { moreCrc } from "./crc.ts";
import { replaceFile } from "./files.ts";
import { FORMAT } from "./meta.ts";
import { Tally } from "./tally.ts";

/** `SEAL.json` of a segment that is complete: what it holds, so that nobody has to open it to know. */
interface SealFile {
  readonly format: number;
  readonly epoch: number;
  readonly first: number;
  readonly last: number;
  readonly count: number;
  readonly bytes: number;
  /** As in `Tally`; null where there is none. */
  readonly tMin: number | null;
  readonly tMax: number | null;
  /** Records that could not be read when an earlier run left the segment unsealed. */
  readonly damaged: number;
  readonly slots: Readonly<Record<string, { count: number; bytes: number; first: number; last: number }>>;
  readonly boot?: string;
  /** Monotonic milliseconds of the first and the last record that was taken before the clock was set. */
  readonly mono?: readonly [number, number];
  readonly ranMs?: number;
}

export interface Seal {
  readonly epoch: number;
  readonly tally: Tally;
  readonly damaged: number;
  readonly boot?: string | undefined;
  readonly ranMs?: number | undefined;
}

export async function writeSeal(folder: string, seal: Seal): Promise<void> {
  const { tally } = seal;
  const body: SealFile = {
    format: FORMAT,
    epoch: seal.epoch,
    first: tally.first,
    last: tally.last,
    count: tally.count,
    bytes: tally.bytes,
    tMin: finite(tally.tMin),
    tMax: finite(tally.tMax),
    damaged: seal.damaged,
    slots: Object.fromEntries(tally.slots),
    ...(seal.boot === undefined ? {} : { boot: seal.boot }),
    ...(Number.isFinite(tally.monoMin) ? { mono: [tally.monoMin, tally.monoMax] as const } : {}),
    ...(seal.ranMs === undefined ? {} : { ranMs: Math.round(seal.ranMs) }),
  };
  const text = JSON.stringify(body);
  await replaceFile(join(folder, "SEAL.json"), `${JSON.stringify({ ...body, crc: moreCrc(0, Buffer.from(text)) })}\n`);
}

/** The format that a seal names, if the seal is whole. */
export async function sealFormat(folder: string): Promise<number | undefined> {
  return (
    await readFile(join(folder, "SEAL.json"), "utf8")
      .then(bodyOf)
      .catch(() => undefined)
  )?.format;
}

/** The seal of a segment; undefined where there is none or it is not whole: then the segment has to be read. */
export async function readSeal(folder: string): Promise<Seal | undefined> {
  try {
    const body = bodyOf(await readFile(join(folder, "SEAL.json"), "utf8"));
    if (body?.format !== FORMAT) return undefined;
    return { epoch: body.epoch, tally: tallyOf(body), damaged: body.damaged, boot: body.boot, ranMs: body.ranMs };
  } catch {
    return undefined;
  }
}

function bodyOf(text: string): SealFile | undefined {
  const { crc, ...body }: SealFile & { crc: unknown } = JSON.parse(text);
  return crc === moreCrc(0, Buffer.from(JSON.stringify(body))) ? body : undefined;
}

function finite(ms: number): number | null {
  return Number.isFinite(ms) ? ms : null;
}

function tallyOf(body: SealFile): Tally {
  const tally = new Tally();
  tally.first = body.first;
  tally.last = body.last;
  tally.count = body.count;
  tally.bytes = body.bytes;
  tally.tMin = body.tMin ?? tally.tMin;
  tally.tMax = body.tMax ?? tally.tMax;
  [tally.monoMin, tally.monoMax] = body.mono ?? [tally.monoMin, tally.monoMax];
  for (const [slot, of] of Object.entries(body.slots)) tally.slots.set(Number(slot), of);
  return tally;
}
