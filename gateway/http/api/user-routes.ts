import { z } from "zod";
import { userName } from "../../accounts/file.ts";
import { roleName } from "../../accounts/roles.ts";
import { HttpError } from "../body.ts";
import { type AccountParts, type AuditTrail, by, password } from "./account-parts.ts";
import { type Route, route } from "./route.ts";
import { usersView } from "./schemas.ts";

const name = z.strictObject({ name: userName });
/** How far back a last login is looked for. */
const ENTRIES = 1_000;

/** Users: who there is, with which role, and whether they get in. */
export function userRoutes({ access, accounts, audit }: AccountParts): Route[] {
  const list = async () => {
    const logins = await lastLogins(audit);
    return {
      answer: {
        users: (await accounts.users()).map(({ name: user, role, created, changed }) => {
          const lastLogin = logins.get(user);
          return {
            name: user,
            role,
            created,
            changed,
            ...(lastLogin !== undefined && { lastLogin }),
            sessions: access.sessions(user).length,
            locked: access.locksOf(user).map(({ address, forMs }) => ({ address, forMs: Math.ceil(forMs) })),
          };
        }),
      },
    };
  };
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
      id: "unlockUser",
      method: "POST",
      path: "/users/{name}/unlock",
      summary:
        "Lets a user who is locked out after failed logins try again at once; addresses that are locked as a whole stay so.",
      tag: "accounts",
      needs: "administer",
      params: name,
      answer: usersView,
      handle: async ({ params, principal }) => {
        if (!(await accounts.user(params.name))) return undefined;
        const count = access.release(params.name);
        await audit.record({ ...by(principal, "user.unlock", params.name), detail: `${count} locks` });
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

/** By user, in Unix milliseconds; without a readable trail nobody's is known. */
async function lastLogins(audit: AuditTrail): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  for (const { actor, action, outcome, time } of await audit.newest(ENTRIES).catch(() => [])) {
    const isLogin = (action === "login" || action === "setup") && outcome === "ok";
    if (isLogin && !found.has(actor)) found.set(actor, Date.parse(time));
  }
  return found;
}
