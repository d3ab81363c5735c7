import { z } from "zod";
import { type AccountParts, known } from "./account-parts.ts";
import { type Route, route } from "./route.ts";
import { done, ownSessionsView } from "./schemas.ts";

/** One's own sessions: where one is logged in, and ending what was left open. */
export function ownSessionRoutes({ access, now }: AccountParts): Route[] {
  return [
    route({
      id: "listOwnSessions",
      method: "GET",
      path: "/sessions",
      summary: "Where whoever asks is logged in, the oldest session first.",
      tag: "accounts",
      needs: "login",
      answer: ownSessionsView,
      handle: ({ principal }) => {
        const { user, session } = known(principal);
        // A token has no sessions; without a name those of everybody would be given.
        const own = user === undefined ? [] : access.sessions(user);
        const at = now();
        return {
          answer: {
            sessions: own.map(({ ref, address, beganMs, usedMs }) => ({
              id: ref,
              address,
              agoMs: Math.round(at - beganMs),
              idleMs: Math.round(at - usedMs),
              own: ref === session?.session.ref,
            })),
          },
        };
      },
    }),
    route({
      id: "endOwnSession",
      method: "DELETE",
      path: "/sessions/{id}",
      summary: "Ends a session of whoever asks.",
      tag: "accounts",
      needs: "login",
      params: z.strictObject({ id: z.string().regex(/^[A-Za-z0-9_-]{12}$/) }),
      answer: done,
      handle: async ({ params, principal }) =>
        (await access.endOwn(known(principal), params.id)) ? { answer: { done: true as const } } : undefined,
    }),
  ];
}
