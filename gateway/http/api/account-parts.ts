import { z } from "zod";
import type { Accounts } from "../../accounts/accounts.ts";
import type { AuditEntry } from "../../audit/chain.ts";
import type { AuditReport } from "../../audit/verify.ts";
import type { AuditEvent, Auditor } from "../../core/audit.ts";
import type { Access, Principal } from "../access.ts";
import { HttpError } from "../body.ts";

/** The audit trail, as far as the API reads it. */
export interface AuditTrail extends Auditor {
  newest(limit: number, before?: number): Promise<AuditEntry[]>;
  export(): AsyncIterable<Uint8Array>;
  verify(): Promise<AuditReport>;
}

/** What the routes for accounts share. */
export interface AccountParts {
  readonly access: Access;
  readonly accounts: Accounts;
  readonly audit: AuditTrail;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly times: { readonly idleMs: number; readonly absoluteMs: number };
  readonly version: string;
  readonly gatewayId: string;
}

export const password = z.string().min(1).max(256);

/** An entry of the trail for what somebody did. @throws HttpError 401 where nobody is known. */
export function by(principal: Principal | undefined, action: string, target?: string): AuditEvent {
  const { name: actor, address } = known(principal);
  return { actor, address, action, outcome: "ok", ...(target === undefined ? {} : { target }) };
}

/** @throws HttpError 401 where nobody is known. */
export function known(principal: Principal | undefined): Principal {
  if (!principal) throw new HttpError(401, "MILLRACE_UNAUTHORIZED", "log in");
  return principal;
}
