import { type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import type { z } from "zod";
import { TimeoutError, UncertainWriteError } from "../../core/driver.ts";
import { fromWire, readAnswer, toWire, writeAnswer } from "../../core/errand.ts";
import { ConfigError, messageOf, NotConnectedError, RejectedError } from "../../core/errors.ts";
import { type LineAccess, unanswered } from "./access.ts";

/** Whether a gateway listens on a control socket. @throws ConfigError when it is not open to this user. */
export function gatewayAnswers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EACCES" && error.code !== "EPERM") return resolve(false);
      const cure = "run this as the gateway's user, for example with: sudo -u millrace";
      reject(new ConfigError(`a gateway may be running, but its control socket ${path} is not open to you; ${cure}`));
    });
  });
}

/** A link of the gateway that listens on a control socket. */
export function throughGateway(path: string, link: string, user: string): LineAccess {
  return {
    via: "gateway",
    async read({ device, tags }, signal) {
      try {
        const { samples } = await post(path, "/lines/read", { link, device, tags }, readAnswer, signal);
        return samples.map(({ value, ...sample }) => ({
          ...plain(sample),
          ...(value === undefined ? {} : { value: fromWire(value) }),
        }));
      } catch (error) {
        if (error instanceof TimeoutError) return unanswered(tags, error.message);
        throw error;
      }
    },
    async write(device, writes, signal) {
      const body = {
        link,
        device: device.name,
        writes: writes.map(({ tag, value }) => ({ tag: tag.name, value: toWire(value) })),
        user,
      };
      const { results } = await post(path, "/lines/write", body, writeAnswer, signal, true);
      return results.map(({ before, after, reason, tag, ok }) => ({
        tag,
        ok,
        ...(reason === undefined ? {} : { reason }),
        ...(before === undefined ? {} : { before: fromWire(before) }),
        ...(after === undefined ? {} : { after: fromWire(after) }),
      }));
    },
    close: () => Promise.resolve(),
  };
}

function plain({ reason, ...sample }: { tag: string; quality: "good" | "bad" | "stale"; reason?: string | undefined }) {
  return reason === undefined ? sample : { ...sample, reason };
}

/** `uncertain`: once it was sent, no answer means that nothing is known. */
async function post<T>(
  path: string,
  url: string,
  body: unknown,
  schema: z.ZodType<T>,
  signal: AbortSignal,
  uncertain = false,
): Promise<T> {
  let status: number;
  let text: string;
  try {
    const response = await send(path, url, JSON.stringify(body), signal);
    status = response.statusCode ?? 0;
    text = await textOf(response);
  } catch (error) {
    const message = `the gateway broke off: ${messageOf(error)}`;
    if (uncertain) throw new UncertainWriteError(`${message}; the write may have been done`, { cause: error });
    signal.throwIfAborted();
    throw new NotConnectedError(message, { cause: error });
  }
  if (status !== 200) throw errorOf(text);
  const parsed = schema.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  const message = "the gateway's answer is not understood; it is of another version than this program";
  throw uncertain ? new UncertainWriteError(message) : new NotConnectedError(message);
}

function send(path: string, url: string, body: string, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) };
    const asked = request({ socketPath: path, method: "POST", path: url, headers, signal, agent: false }, resolve);
    asked.once("error", reject);
    asked.end(body);
  });
}

async function textOf(response: IncomingMessage): Promise<string> {
  response.setEncoding("utf8");
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return text;
}

const ERRORS: Readonly<Record<string, new (message: string) => Error>> = {
  MILLRACE_CONFIG: ConfigError,
  MILLRACE_REJECTED: RejectedError,
  MILLRACE_TIMEOUT: TimeoutError,
  MILLRACE_UNCERTAIN_WRITE: UncertainWriteError,
};

function errorOf(body: string): Error {
  let found: { error?: unknown; code?: unknown };
  try {
    found = JSON.parse(body);
  } catch {
    return new NotConnectedError(`the gateway answered: ${body.slice(0, 200)}`);
  }
  const kind = ERRORS[String(found.code)] ?? NotConnectedError;
  return new kind(String(found.error));
}
