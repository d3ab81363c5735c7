import { z } from "zod";
import type { Token } from "../../accounts/file.ts";
import { type Scope, scopeName } from "../../accounts/roles.ts";
import type { Principal } from "../access.ts";
import { HttpError } from "../body.ts";
import { type AccountParts, by, known } from "./account-parts.ts";
import { type Route, route } from "./route.ts";
import { done, newToken, tokensView } from "./schemas.ts";

const MOST_TOKEN_MS = 10 * 365 * 86_400_000;

/** Tokens, with which programs come in. */
export function tokenRoutes({ accounts, audit }: AccountParts): Route[] {
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

/** A token cannot give away what whoever makes it has not. */
function grantable(scopes: readonly Scope[], principal: Principal | undefined): readonly Scope[] {
  const missing = scopes.find((scope) => !principal?.scopes.includes(scope));
  if (missing === undefined) return scopes;
  throw new HttpError(403, "MILLRACE_FORBIDDEN", `you have not ${missing} yourself`);
}
