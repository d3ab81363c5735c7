import { fstatSync } from "node:fs";

/** Levels of the log as syslog(3) numbers them. */
const PRIORITIES: Readonly<Record<string, number>> = { debug: 7, info: 6, warn: 4, error: 3, fatal: 2 };
const LEVEL = /^\{"level":"(\w+)"/;

/** The identity of an open file, as systemd writes it into JOURNAL_STREAM. */
export type FileIdentity = (fd: number) => { readonly dev: bigint; readonly ino: bigint };

const identity: FileIdentity = (fd) => fstatSync(fd, { bigint: true });

/**
 * Whether what is written to `fd` goes straight into the journal: systemd says in JOURNAL_STREAM which file that is, and a pipe
 * or a terminal that somebody put in its place is another one.
 */
export function isJournal(
  env: Readonly<Record<string, string | undefined>>,
  fd: number,
  identityOf: FileIdentity = identity,
): boolean {
  const stream = env["JOURNAL_STREAM"] ?? "";
  if (stream === "") return false;
  try {
    const { dev, ino } = identityOf(fd);
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

/** A line of the log with its priority in front, which the journal takes off and keeps (sd-daemon(3)). */
export function withPriority(line: string): string {
  const level = LEVEL.exec(line)?.[1] ?? "";
  return `<${PRIORITIES[level] ?? PRIORITIES["info"]}>${line}`;
}
