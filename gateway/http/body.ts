import type { IncomingMessage } from "node:http";

/** What was sent is refused with this status. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly status: number;
  readonly code: string;
  /** Seconds, for `Retry-After`. */
  readonly retryAfter: number | undefined;

  constructor(status: number, code: string, message: string, retryAfter?: number) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

export const BODY_BYTES = 64 * 1024;
export const BODY_DEPTH = 20;
/** Keys that mean something to objects themselves. */
const OWN = new Set(["__proto__", "constructor", "prototype"]);

/** The body of a request as JSON, without keys that mean something to objects. @throws HttpError 400, 413 or 415. */
export async function jsonBody(request: IncomingMessage, mostBytes = BODY_BYTES): Promise<unknown> {
  const type = request.headers["content-type"]?.split(";", 1)[0]?.trim().toLowerCase();
  if (type !== "application/json")
    throw new HttpError(415, "MILLRACE_USAGE", "send JSON, with Content-Type: application/json");
  if (request.headers["content-encoding"] !== undefined)
    throw new HttpError(415, "MILLRACE_USAGE", "send the body as it is, without Content-Encoding");
  return parseJson(await bytesOf(request, mostBytes));
}

/** @throws HttpError 400: no JSON, or nested too deeply. */
export function parseJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new HttpError(400, "MILLRACE_USAGE", "the body is not UTF-8");
  }
  if (depthOf(text) > BODY_DEPTH)
    throw new HttpError(400, "MILLRACE_USAGE", `the body is nested deeper than ${BODY_DEPTH} levels`);
  try {
    return JSON.parse(text, (key, value: unknown) => (OWN.has(key) ? undefined : value));
  } catch {
    throw new HttpError(400, "MILLRACE_USAGE", "the body is no JSON");
  }
}

/** What is too long is let run by, so that the answer can still be given; the time for a request bounds it. */
function bytesOf(request: IncomingMessage, mostBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const end = (error: Error) => {
      request.removeAllListeners("data");
      request.resume();
      reject(error);
    };
    const tooLong = () => end(new HttpError(413, "MILLRACE_USAGE", `the body is longer than ${mostBytes} bytes`));
    request.once("error", end);
    request.once("close", () => end(new HttpError(400, "MILLRACE_USAGE", "the request was broken off")));
    request.once("end", () => resolve(Buffer.concat(chunks)));
    if (Number(request.headers["content-length"] ?? 0) > mostBytes) return tooLong();
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > mostBytes) tooLong();
      else chunks.push(chunk);
    });
  });
}

/** How deep brackets are nested, outside of texts. Before parsing: a parser may need a stack as deep. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text.charCodeAt(at);
    if (char === 0x22) {
      for (at++; at < text.length && text.charCodeAt(at) !== 0x22; at++) if (text.charCodeAt(at) === 0x5c) at++;
    } else if (char === 0x5b || char === 0x7b) deepest = Math.max(deepest, ++depth);
    else if (char === 0x5d || char === 0x7d) depth--;
  }
  return deepest;
}
