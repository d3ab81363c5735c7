import { z } from "zod";
import { userName } from "../../accounts/file.ts";
import { scopesOf } from "../../accounts/roles.ts";
import { cookieFor, type Started } from "../access.ts";
import { HttpError } from "../body.ts";
import { type AccountParts, by, known, password } from "./account-parts.ts";
import { ownSessionRoutes } from "./own-session-routes.ts";
import { type Route, route } from "./route.ts";
import { auditReport, auditView, done, sessionView, whoView } from "./schemas.ts";
import { tokenRoutes } from "./token-routes.ts";
import { userRoutes } from "./user-routes.ts";

/** First start, login, users, tokens and the audit trail. */
export function accountRoutes(parts: AccountParts): Route[] {
  return [
    ...sessionRoutes(parts),
    ...ownSessionRoutes(parts),
    ...userRoutes(parts),
    ...tokenRoutes(parts),
    ...auditRoutes(parts),
  ];
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
