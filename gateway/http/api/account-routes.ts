import { z } from "zod";
import type { Accounts } from "../../accounts/accounts.ts";
import { type Token, userName } from "../../accounts/file.ts";
import { roleName, type Scope, scopeName, scopesOf } from "../../accounts/roles.ts";
import type { AuditEntry } from "../../audit/chain.ts";
import type { AuditReport } from "../../audit/verify.ts";
import type { AuditEvent, Auditor } from "../../core/audit.ts";
import { type Access, cookieFor, type Principal, type Started } from "../access.ts";
import { HttpError } from "../body.ts";
import { type Route, route } from "./route.ts";
import { auditReport, auditView, done, newToken, sessionView, tokensView, usersView, whoView } from "./schemas.ts";

/** The audit trail, as far as the API reads it. */
export interface AuditTrail extends Auditor {
  newest(limit: number, before?: number): Promise<AuditEntry[]>;
  export(): AsyncIterable<Uint8Array>;
  verify(): Promise<AuditReport>;
}

export interface AccountParts {
  readonly access: Access;
  readonly accounts: Accounts;
  readonly audit: AuditTrail;
  readonly now: () => number;
  readonly times: { readonly idleMs: number; readonly absoluteMs: number };
  readonly version: string;
  readonly gatewayId: string;
}

const password = z.string().min(1).max(256);
const name = z.strictObject({ name: userName });
const MOST_TOKEN_MS = 10 * 365 * 86_400_000;

/** First start, login, users, tokens and the audit trail. */
export function accountRoutes(parts: AccountParts): Route[] {
  return [...sessionRoutes(parts), ...userRoutes(parts), ...tokenRoutes(parts), ...auditRoutes(parts)];
}

function sessionRoutes({ access, accounts, audit, now, times, version, gatewayId }: AccountParts): Route[] {
  const view = ({ session }: Started) => ({
    user: session.user,
    role: session.role,
    scopes: [...scopesOf(session.role)],
    csrf: session.csrf,
    idleMs: times.idleMs,
    endsInMs: Math.max(0, Math.round(session.beganMs + times.absoluteMs - now())),
  });
  return [
    route({
      id: "whoAmI",
      method: "GET",
      path: "/session",
      summary: "Who is logged in, and whether the first account is still to be made.",
      tag: "accounts",
      needs: "nothing",
      answer: whoView,
      handle: async ({ principal }) => ({
        answer: {
          setup: await access.awaitsSetup(),
          version: principal === undefined ? "" : version,
          ...(principal && { gateway: gatewayId }),
          ...(principal?.session && { session: view(principal.session) }),
          ...(principal && !principal.session && { token: { name: principal.name, scopes: [...principal.scopes] } }),
        },
      }),
    }),
    route({
      id: "setup",
      method: "POST",
      path: "/setup",
      summary: "Makes the first account, an admin, with the token that the first start wrote into its log; logs in.",
      tag: "accounts",
      needs: "nothing",
      body: z.strictObject({ token: z.string().min(1).max(64), user: userName, password }),
      status: 201,
      answer: sessionView,
      handle: async ({ request, body }) => {
        const started = await access.setup(request, body);
        return { answer: view(started), cookie: cookieFor(request, started.id) };
      },
    }),
    route({
      id: "login",
      method: "POST",
      path: "/login",
      summary: "Logs in; the session is in a cookie.",
      tag: "accounts",
      needs: "nothing",
      body: z.strictObject({ user: z.string().min(1).max(64), password }),
      answer: sessionView,
      handle: async ({ request, body }) => {
        const started = await access.login(request, body);
        return { answer: view(started), cookie: cookieFor(request, started.id) };
      },
    }),
    route({
      id: "logout",
      method: "POST",
      path: "/logout",
      summary: "Ends the session, here and in the gateway.",
      tag: "accounts",
      needs: "login",
      answer: done,
      handle: async ({ request, principal }) => {
        await access.logout(known(principal));
        return { answer: { done: true as const }, cookie: cookieFor(request) };
      },
    }),
    route({
      id: "changePassword",
      method: "POST",
      path: "/password",
      summary: "Sets one's own password; ends one's other sessions.",
      tag: "accounts",
      needs: "login",
      body: z.strictObject({ present: password, password }),
      answer: done,
      handle: async ({ principal, body }) => {
        const who = known(principal);
        const { user } = who;
        if (user === undefined) throw new HttpError(403, "MILLRACE_FORBIDDEN", "a token has no password");
        await access.confirm(who, body.present);
        await accounts.setPassword(user, body.password);
        await access.endAll(user, who);
        await audit.record(by(who, "user.password", user));
        return { answer: { done: true as const } };
      },
    }),
  ];
}

function userRoutes({ access, accounts, audit }: AccountParts): Route[] {
  const list = async () => ({
    answer: {
      users: (await accounts.users()).map(({ name: user, role, created, changed }) => ({
        name: user,
        role,
        created,
        changed,
      })),
    },
  });
  return [
    route({
      id: "listUsers",
      method: "GET",
      path: "/users",
      summary: "The users.",
      tag: "accounts",
      needs: "administer",
      answer: usersView,
      handle: list,
    }),
    route({
      id: "addUser",
      method: "POST",
      path: "/users",
      summary: "Adds a user.",
      tag: "accounts",
      needs: "administer",
      body: z.strictObject({ name: userName, role: roleName, password }),
      status: 201,
      answer: usersView,
      handle: async ({ body, principal }) => {
        await accounts.add(body.name, body.role, body.password);
        await audit.record({ ...by(principal, "user.add", body.name), detail: body.role });
        return await list();
      },
    }),
    route({
      id: "changeUser",
      method: "PUT",
      path: "/users/{name}",
      summary: "Gives a user another role or another password; ends their sessions.",
      tag: "accounts",
      needs: "administer",
      params: name,
      body: z.strictObject({ role: roleName.optional(), password: password.optional() }),
      answer: usersView,
      handle: async ({ params, body, principal }) => {
        if (!(await accounts.user(params.name))) return undefined;
        if (body.password !== undefined) {
          await accounts.setPassword(params.name, body.password);
          await audit.record(by(principal, "user.password", params.name));
        }
        if (body.role !== undefined) {
          await accounts.setRole(params.name, body.role);
          await audit.record({ ...by(principal, "user.role", params.name), detail: body.role });
        }
        await access.endAll(params.name, principal);
        return await list();
      },
    }),
    route({
      id: "removeUser",
      method: "DELETE",
      path: "/users/{name}",
      summary: "Removes a user; ends their sessions.",
      tag: "accounts",
      needs: "administer",
      params: name,
      answer: usersView,
      handle: async ({ params, principal }) => {
        if (!(await accounts.user(params.name))) return undefined;
        if (params.name === principal?.user)
          throw new HttpError(409, "MILLRACE_CONFIG", "nobody removes themselves; another admin can");
        await accounts.remove(params.name);
        await access.endAll(params.name);
        await audit.record(by(principal, "user.remove", params.name));
        return await list();
      },
    }),
  ];
}

function tokenRoutes({ accounts, audit }: AccountParts): Route[] {
  const view = ({ hash: _hash, ...shown }: Token) => shown;
  return [
    route({
      id: "listTokens",
      method: "GET",
      path: "/tokens",
      summary: "The tokens of programs, without the tokens themselves.",
      tag: "accounts",
      needs: "administer",
      answer: tokensView,
      handle: async () => ({ answer: { tokens: (await accounts.tokens()).map(view) } }),
    }),
    route({
      id: "addToken",
      method: "POST",
      path: "/tokens",
      summary: "Makes a token for a program, to be sent as `Authorization: Bearer …`. Shown this once.",
      tag: "accounts",
      needs: "administer",
      body: z.strictObject({
        name: z.string().trim().min(1).max(64),
        scopes: z.array(scopeName).min(1).max(4),
        forMs: z
          .number()
          .int()
          .min(60_000)
          .max(MOST_TOKEN_MS)
          .optional()
          .describe("It expires after; never when absent."),
      }),
      status: 201,
      answer: newToken,
      handle: async ({ body, principal }) => {
        const { token, text } = await accounts.addToken(
          body.name,
          grantable(body.scopes, principal),
          known(principal).name,
          body.forMs,
        );
        await audit.record({
          ...by(principal, "token.add", `${token.name} (${token.id})`),
          detail: token.scopes.join(" "),
        });
        return { answer: { token: text, ...view(token) } };
      },
    }),
    route({
      id: "removeToken",
      method: "DELETE",
      path: "/tokens/{id}",
      summary: "Takes a token back at once.",
      tag: "accounts",
      needs: "administer",
      params: z.strictObject({ id: z.string().regex(/^[A-Za-z0-9_-]{12}$/) }),
      answer: done,
      handle: async ({ params, principal }) => {
        if (!(await accounts.tokens()).some(({ id }) => id === params.id)) return undefined;
        const token = await accounts.removeToken(params.id);
        await audit.record(by(principal, "token.remove", `${token.name} (${token.id})`));
        return { answer: { done: true as const } };
      },
    }),
  ];
}

function auditRoutes({ audit }: AccountParts): Route[] {
  return [
    route({
      id: "listAudit",
      method: "GET",
      path: "/audit",
      summary: "Who did what, the newest first.",
      tag: "audit",
      needs: "administer",
      query: z.strictObject({
        limit: z.coerce.number().int().min(1).max(500).default(100),
        before: z.coerce.number().int().min(1).optional(),
      }),
      answer: auditView,
      handle: async ({ query }) => ({ answer: { entries: await audit.newest(query.limit, query.before) } }),
    }),
    route({
      id: "exportAudit",
      method: "GET",
      path: "/audit/export",
      summary: "The whole audit trail as lines of JSON, as `millrace audit verify FILE` takes it.",
      tag: "audit",
      needs: "administer",
      type: "application/x-ndjson",
      handle: ({ principal }) => {
        void audit.record(by(principal, "audit.export"));
        return { type: "application/x-ndjson", file: "audit.ndjson", pieces: audit.export() };
      },
    }),
    route({
      id: "verifyAudit",
      method: "GET",
      path: "/audit/verify",
      summary: "Whether the chain of the audit trail holds, and where it does not.",
      tag: "audit",
      needs: "administer",
      answer: auditReport,
      handle: async () => {
        const { faults, ...report } = await audit.verify();
        return { answer: { ...report, faults: [...faults] } };
      },
    }),
  ];
}

/** A token cannot give away what whoever makes it has not. */
function grantable(scopes: readonly Scope[], principal: Principal | undefined): readonly Scope[] {
  const missing = scopes.find((scope) => !principal?.scopes.includes(scope));
  if (missing === undefined) return scopes;
  throw new HttpError(403, "MILLRACE_FORBIDDEN", `you have not ${missing} yourself`);
}

function by(principal: Principal | undefined, action: string, target?: string): AuditEvent {
  const { name: actor, address } = known(principal);
  return { actor, address, action, outcome: "ok", ...(target === undefined ? {} : { target }) };
}

function known(principal: Principal | undefined): Principal {
  if (!principal) throw new HttpError(401, "MILLRACE_UNAUTHORIZED", "log in");
  return principal;
}
