import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { ConfigFaults } from "../../config/faults.ts";
import type { Auditor } from "../../core/audit.ts";
import { TimeoutError, UncertainWriteError } from "../../core/driver.ts";
import {
  ConfigError,
  messageOf,
  NotConnectedError,
  QueueFullError,
  RejectedError,
  StorageError,
} from "../../core/errors.ts";
import type { Logger } from "../../core/log.ts";
import type { Access, Principal } from "../access.ts";
import { HttpError, jsonBody } from "../body.ts";
import { addressOf, isForeign, isVouchedFor } from "../security.ts";
import { openApi } from "./openapi.ts";
import { type Call, type Reply, type Route, route, type Stream } from "./route.ts";

export const PREFIX = "/api/v1";

export interface ApiParts {
  readonly routes: readonly Route[];
  readonly access: Access;
  readonly audit: Auditor;
  readonly log: Logger;
  readonly version: string;
}

interface Matched {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

const STATUS: readonly (readonly [abstract new (...args: never[]) => Error & { code: string }, number])[] = [
  [ConfigFaults, 422],
  [ConfigError, 409],
  [RejectedError, 422],
  [QueueFullError, 503],
  [NotConnectedError, 503],
  [TimeoutError, 504],
  [UncertainWriteError, 500],
  [StorageError, 503],
];

/** Answers everything under /api/v1: who asks, whether they may, whether the request fits, and then the route. */
export class Api {
  readonly routes: readonly Route[];
  readonly #parts: ApiParts;
  readonly #patterns: readonly { readonly route: Route; readonly steps: readonly string[] }[];

  constructor(parts: ApiParts) {
    this.#parts = parts;
    const described: Route[] = [...parts.routes];
    described.push(
      route({
        id: "getOpenApi",
        method: "GET",
        path: "/openapi.json",
        summary: "This document.",
        tag: "api",
        needs: "login",
        answer: z.record(z.string(), z.unknown()),
        handle: () => ({ answer: openApi(described, parts.version) }),
      }),
    );
    this.routes = described;
    this.#patterns = described.map((one) => ({ route: one, steps: one.path.split("/") }));
  }

  /** Never rejects for what somebody sent. */
  async answer(request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void> {
    const { log } = this.#parts;
    try {
      const matched = this.#match(request);
      const reply = await this.#run(matched, request, signal);
      if (reply === undefined) throw new HttpError(404, "MILLRACE_NOT_FOUND", "there is no such thing");
      if ("pieces" in reply) return await stream(response, reply, signal);
      send(
        response,
        matched.route.status ?? 200,
        reply.answer,
        reply.cookie === undefined ? {} : { "Set-Cookie": reply.cookie },
      );
    } catch (error) {
      if (response.headersSent || response.destroyed) {
        if (!signal.aborted) log.debug({ error: messageOf(error), path: pathOf(request) }, "an answer was broken off");
        response.destroy();
        return;
      }
      const { status, code, message, retryAfter } = problemOf(error);
      if (status === 500) log.error({ error: messageOf(error), path: pathOf(request) }, "http request failed");
      send(
        response,
        status,
        { error: message, code },
        {
          ...(retryAfter === undefined ? {} : { "Retry-After": String(retryAfter) }),
          // What was not read must not hold the connection.
          ...(request.complete ? {} : { Connection: "close" }),
        },
      );
    } finally {
      request.resume();
    }
  }

  async #run({ route: one, params }: Matched, request: IncomingMessage, signal: AbortSignal) {
    const { access } = this.#parts;
    const secure = "encrypted" in request.socket;
    if (isForeign(request, secure))
      throw new HttpError(403, "MILLRACE_FORBIDDEN", "this was asked by a page of another origin");
    const principal = one.needs === "nothing" && one.method !== "GET" ? undefined : await access.principal(request);
    if (one.needs !== "nothing") await this.#admit(one, principal, request);
    const call: Call<unknown, unknown, unknown> = {
      params,
      query: queryOf(request),
      body: one.body ? await jsonBody(request, one.bodyBytes) : undefined,
      request,
      principal,
      signal,
    };
    return await one.run(call);
  }

  async #admit(one: Route, principal: Principal | undefined, request: IncomingMessage): Promise<void> {
    const { access, audit } = this.#parts;
    if (!principal) throw new HttpError(401, "MILLRACE_UNAUTHORIZED", "log in, or send a token");
    if (one.needs !== "login" && one.needs !== "nothing" && !principal.scopes.includes(one.needs)) {
      await audit.record({
        actor: principal.name,
        address: addressOf(request),
        action: "denied",
        target: one.id,
        outcome: "refused",
      });
      throw new HttpError(403, "MILLRACE_FORBIDDEN", `this wants the scope ${one.needs}, which you do not have`);
    }
    if (one.method === "GET" || principal.session === undefined) return;
    if (!isVouchedFor(request))
      throw new HttpError(
        403,
        "MILLRACE_FORBIDDEN",
        "a change with a cookie has to say its Origin; programs send a token",
      );
    if (!access.hasCsrf(principal, request))
      throw new HttpError(403, "MILLRACE_FORBIDDEN", "X-CSRF-Token is missing or is not that of the session");
  }

  /** @throws HttpError 400, 404, 405. */
  #match(request: IncomingMessage): Matched {
    const steps = pathOf(request).slice(PREFIX.length).split("/");
    const allowed: string[] = [];
    for (const { route: one, steps: pattern } of this.#patterns) {
      const params = match(pattern, steps);
      if (!params) continue;
      if (one.method === request.method) return { route: one, params };
      allowed.push(one.method);
    }
    if (allowed.length > 0) throw new HttpError(405, "MILLRACE_USAGE", `only ${allowed.join(" and ")}`);
    throw new HttpError(404, "MILLRACE_NOT_FOUND", "there is no such path; see /api/v1/openapi.json");
  }
}

function match(pattern: readonly string[], steps: readonly string[]): Record<string, string> | undefined {
  if (pattern.length !== steps.length) return undefined;
  const params: Record<string, string> = Object.create(null);
  for (const [index, part] of pattern.entries()) {
    const step = steps[index] ?? "";
    const name = /^\{(\w+)\}$/.exec(part)?.[1];
    if (name === undefined) {
      if (part !== step) return undefined;
    } else {
      const text = decoded(step);
      if (text === undefined) throw new HttpError(400, "MILLRACE_USAGE", "the path is not encoded as it should be");
      params[name] = text;
    }
  }
  return params;
}

function decoded(step: string): string | undefined {
  try {
    return decodeURIComponent(step);
  } catch {
    return undefined;
  }
}

function queryOf(request: IncomingMessage): Record<string, string | string[]> {
  const found: Record<string, string | string[]> = Object.create(null);
  for (const [name, value] of new URLSearchParams((request.url ?? "").split("?", 2)[1] ?? "")) {
    const known = found[name];
    if (known === undefined) found[name] = value;
    else if (typeof known === "string") found[name] = [known, value];
    else known.push(value);
  }
  return found;
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "").split("?", 1)[0] ?? "";
}

function problemOf(error: unknown): { status: number; code: string; message: string; retryAfter?: number | undefined } {
  if (error instanceof HttpError) return error;
  if (error instanceof z.ZodError) {
    const [first] = error.issues;
    const place = first && first.path.length > 0 ? `${first.path.join(".")}: ` : "";
    return { status: 400, code: "MILLRACE_USAGE", message: `${place}${first?.message ?? "it does not fit"}` };
  }
  const known = STATUS.find(([kind]) => error instanceof kind);
  if (known && error instanceof known[0]) return { status: known[1], code: error.code, message: messageOf(error) };
  return { status: 500, code: "MILLRACE_BUG", message: "internal error; the log has more" };
}

function send(response: ServerResponse, status: number, body: unknown, headers: Record<string, string>): void {
  const text = `${JSON.stringify(body, (_key, item: unknown) => (typeof item === "bigint" ? String(item) : item))}\n`;
  response.writeHead(status, {
    "Content-Type": "application/json; charset=utf-8",
    "Content-Length": Buffer.byteLength(text),
    ...headers,
  });
  response.end(text);
}

async function stream(
  response: ServerResponse,
  { type, file, quietMs, pieces }: Stream,
  signal: AbortSignal,
): Promise<void> {
  response.writeHead(200, {
    "Content-Type": type,
    ...(file === undefined ? {} : { "Content-Disposition": `attachment; filename="${file}"` }),
  });
  response.flushHeaders();
  if (quietMs !== undefined) response.socket?.setTimeout(quietMs);
  await pipeline(Readable.from(pieces, { objectMode: true, highWaterMark: 1 }), response, { signal });
}

export type { Reply };
