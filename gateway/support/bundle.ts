import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { messageOf } from "../core/errors.ts";
import { tar } from "./tar.ts";

/** One file of a support bundle. */
export interface Piece {
  readonly name: string;
  /** What it holds, a few words. */
  readonly about: string;
  /** Its text, which may still hold secrets. May reject: then the bundle says why it is not there. */
  readonly text: () => Promise<string> | string;
}

export interface BundleParts {
  readonly gatewayId: string;
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** What whoever opens it is to know first. */
  readonly notes: readonly string[];
  readonly pieces: readonly Piece[];
  /** Takes secrets out of a text. */
  readonly scrub: (text: string) => string;
}

/** A longer piece loses its beginning: the end is what happened last. */
const MOST_CHARS = 8 * 1024 * 1024;
const packed = promisify(gzip);

/** A support bundle, a tar archive with gzip. No piece keeps the others out. */
export async function makeBundle({ gatewayId, nowMs, notes, pieces, scrub }: BundleParts): Promise<Buffer> {
  const folder = bundleName(gatewayId, nowMs);
  const files: { name: string; content: Buffer }[] = [];
  const lines: string[] = [];
  const width = Math.max(...pieces.map(({ name }) => name.length));
  for (const { name, about, text } of pieces) {
    try {
      files.push({ name: `${folder}/${name}`, content: Buffer.from(scrub(tail(await text()))) });
      lines.push(`${name.padEnd(width)}  ${about}`);
    } catch (error) {
      lines.push(`${name.padEnd(width)}  not here: ${messageOf(error)}`);
    }
  }
  const readme = [
    `Support bundle of the Millrace gateway ${gatewayId}, made ${new Date(nowMs).toISOString()}`,
    "",
    ...notes,
    "Secrets are replaced by [secret]. Names of hosts, topics, devices and users are in it: look before you send it on.",
    "",
    ...lines,
    "",
  ];
  files.unshift({ name: `${folder}/README.txt`, content: Buffer.from(scrub(readme.join("\n"))) });
  return await packed(tar(files, nowMs));
}

/** Of the folder in it, and of its file before `.tar.gz`. */
export function bundleName(gatewayId: string, nowMs: number): string {
  const at = new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");
  return `millrace-support-${gatewayId.replaceAll(/[^A-Za-z0-9._-]/g, "_").slice(0, 40)}-${at}`;
}

function tail(text: string): string {
  if (text.length <= MOST_CHARS) return text;
  return `(${text.length - MOST_CHARS} characters before this are left out)\n${text.slice(-MOST_CHARS)}`;
}
