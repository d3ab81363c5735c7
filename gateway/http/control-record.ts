import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ConfigError } from "../core/errors.ts";

/** What the control socket asks of the flight recorder. */
export interface RecordSource {
  /** Links, and what is held of each. */
  status(): readonly unknown[];
  /** A capture file in pieces. @throws ConfigError before the first one. */
  record(link: string, forMs: number | undefined, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

const MOST_MS = 24 * 3_600_000;

/** `GET /record?link=NAME` gives what is held, with `&forMs=30000` what passes from now on. @throws ConfigError. */
export async function answerRecord(
  source: RecordSource,
  params: URLSearchParams,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const pieces = source.record(params.get("link") ?? "", forMsOf(params), signal);
  response.writeHead(200, { "Content-Type": "application/x-pcapng" });
  await pipeline(Readable.from(pieces, { objectMode: true, highWaterMark: 1 }), response);
}

function forMsOf(params: URLSearchParams): number | undefined {
  const text = params.get("forMs");
  if (text === null) return undefined;
  const ms = Number(text);
  if (!Number.isSafeInteger(ms) || ms < 1 || ms > MOST_MS) throw new ConfigError("forMs is 1 to 86400000 milliseconds");
  return ms;
}
