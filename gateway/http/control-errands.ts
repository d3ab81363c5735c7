import type { IncomingMessage } from "node:http";
import { TimeoutError, UncertainWriteError } from "../core/driver.ts";
import { type ErrandDesk, readErrand, writeErrand } from "../core/errand.ts";
import { ConfigError, messageOf, NotConnectedError, RejectedError } from "../core/errors.ts";

/** Paths of the control socket that this file answers. */
export const ERRANDS = "/lines/";
const MOST_BYTES = 256 * 1024;

const STATUS: readonly (readonly [new (message: string) => Error & { code: string }, number])[] = [
  [ConfigError, 409],
  [RejectedError, 422],
  [NotConnectedError, 503],
  [TimeoutError, 504],
  [UncertainWriteError, 500],
];

/** `POST /lines/read` and `POST /lines/write`, both JSON; errors are `{"error","code"}`. @throws what is a bug. */
export async function answerErrand(
  desk: ErrandDesk,
  request: IncomingMessage,
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly body: unknown }> {
  const route = `${request.method} ${request.url}`;
  try {
    const body = await jsonOf(request);
    if (route === `POST ${ERRANDS}read`) return { status: 200, body: await desk.read(readErrand.parse(body), signal) };
    if (route === `POST ${ERRANDS}write`)
      return { status: 200, body: await desk.write(writeErrand.parse(body), signal) };
    return { status: 404, body: { error: `there is no ${route}`, code: "MILLRACE_USAGE" } };
  } catch (error) {
    const known = STATUS.find(([kind]) => error instanceof kind);
    if (known && error instanceof known[0]) {
      return { status: known[1], body: { error: messageOf(error), code: error.code } };
    }
    if (error instanceof Error && error.name === "ZodError") {
      return {
        status: 400,
        body: { error: `the question is not understood: ${error.message}`, code: "MILLRACE_USAGE" },
      };
    }
    throw error;
  }
}

async function jsonOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) continue;
    bytes += chunk.length;
    if (bytes > MOST_BYTES) throw new ConfigError("the question is too long");
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch (error) {
    throw new ConfigError("the question is no JSON", { cause: error });
  }
}
