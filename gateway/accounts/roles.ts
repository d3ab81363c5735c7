import { z } from "zod";

/** What somebody may do. A role has those of the roles below it; a token has just those it was made with. */
export const SCOPES = ["read", "operate", "configure", "administer"] as const;
export const scopeName = z.enum(SCOPES);
export type Scope = z.infer<typeof scopeName>;

export const ROLES = ["viewer", "operator", "engineer", "admin"] as const;
export const roleName = z.enum(ROLES);
export type Role = z.infer<typeof roleName>;

export function scopesOf(role: Role): readonly Scope[] {
  return SCOPES.slice(0, ROLES.indexOf(role) + 1);
}
