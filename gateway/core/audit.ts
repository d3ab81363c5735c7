/** One thing that somebody did, or that happened, and that must be answered for later. Texts are cut to 256 characters. */
export interface AuditEvent {
  /** The name of the user or token, `local user NAME`, or `gateway` for what it did or saw by itself. */
  readonly actor: string;
  /** Where it came from; absent for what happened on this machine. */
  readonly address?: string;
  /** A word or two with a point between: `login`, `user.add`, `tag.write`, `clock.step`. */
  readonly action: string;
  /** What it was done to. */
  readonly target?: string;
  readonly outcome: "ok" | "refused" | "failed";
  /** More, fit for a person. Never a secret. */
  readonly detail?: string;
}

/** Where that is written down. */
export interface Auditor {
  /** Resolves when it is on disk. Never rejects: a disk that refuses must not stop the gateway; it is told in the log. */
  record(event: AuditEvent): Promise<void>;
}

/** For where nobody has to answer for anything. */
export const noAudit: Auditor = { record: () => Promise.resolve() };
