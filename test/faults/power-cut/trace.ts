/** System calls of a traced process, as strace -f -y -xx writes them, in the order in which they took effect. */
export type Call =
  | { readonly kind: "open"; readonly path: string; readonly flags: string; readonly fd: number }
  | { readonly kind: "close"; readonly fd: number }
  | { readonly kind: "write"; readonly fd: number; readonly path: string; readonly data: Buffer; readonly at?: number }
  | { readonly kind: "truncate"; readonly path: string; readonly size: number }
  /** `since` is the number of calls that had taken effect when it began: only those are sure to be on disk after it. */
  | { readonly kind: "sync"; readonly path: string; readonly since: number }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "link"; readonly from: string; readonly to: string }
  | { readonly kind: "remove"; readonly path: string }
  | { readonly kind: "mkdir"; readonly path: string };

/** What strace is to write down. */
export const TRACED =
  "openat,creat,write,pwrite64,writev,fdatasync,fsync,ftruncate,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,close";

/** @throws Error for a call that the simulator does not know. */
export function parseTrace(lines: Iterable<string>): Call[] {
  const calls: Call[] = [];
  const begun = new Map<string, { text: string; since: number }>();
  for (const line of lines) {
    const match = /^(\d+) +(.*)$/.exec(line);
    if (!match) continue;
    const [, thread = "", text = ""] = match;
    // The number of a closed file may be given to another thread before the call is over: it is free from the start.
    if (/^close\(.*<unfinished \.\.\.>$/.test(text))
      calls.push({ kind: "close", fd: Number(/^close\((\d+)/.exec(text)?.[1]) });
    else if (text.endsWith("<unfinished ...>")) {
      begun.set(thread, { text: text.slice(0, -"<unfinished ...>".length), since: calls.length });
    }
    if (text.endsWith("<unfinished ...>")) continue;
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(text);
    const start = resumed ? begun.get(thread) : undefined;
    if (resumed && !start) continue;
    begun.delete(thread);
    const call = callOf((start?.text ?? "") + (resumed?.[1] ?? text), start?.since ?? calls.length);
    if (call) calls.push(call);
  }
  return calls;
}

function callOf(text: string, since: number): Call | undefined {
  const match = /^(\w+)\((.*?) *\) += (-?\d+)/s.exec(text);
  if (!match) return undefined;
  const [, name = "", args = "", result = ""] = match;
  if (Number(result) < 0) return undefined;
  const strings = [...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?/g)];
  if (strings.some(([, , cut]) => cut !== undefined)) throw new Error(`trace is cut short: ${text.slice(0, 200)}`);
  const texts = strings.map(([, hex = ""]) => Buffer.from(hex.replaceAll("\\x", ""), "hex"));
  const path = (index: number) => texts[index]?.toString() ?? "";
  const [, fd = "", of = ""] = /^(\d+)<([^>]*)>/.exec(args) ?? [];
  const file = of.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  switch (name) {
    case "openat":
      return { kind: "open", path: path(0), flags: args, fd: Number(result) };
    case "close":
      return { kind: "close", fd: Number(fd) };
    case "write":
    case "writev":
    case "pwrite64": {
      const data = Buffer.concat(texts).subarray(0, Number(result));
      const at = name === "pwrite64" ? { at: numberAtEnd(args) } : {};
      return { kind: "write", fd: Number(fd), path: file, data, ...at };
    }
    case "ftruncate":
      return { kind: "truncate", path: file, size: numberAtEnd(args) };
    case "fsync":
    case "fdatasync":
      return { kind: "sync", path: file, since };
    case "rename":
    case "renameat":
    case "renameat2":
      return { kind: "rename", from: path(0), to: path(1) };
    case "link":
    case "linkat":
      return { kind: "link", from: path(0), to: path(1) };
    case "unlink":
    case "unlinkat":
    case "rmdir":
      return { kind: "remove", path: path(0) };
    case "mkdir":
    case "mkdirat":
      return { kind: "mkdir", path: path(0) };
    default:
      throw new Error(`unknown call in the trace: ${text.slice(0, 200)}`);
  }
}

function numberAtEnd(args: string): number {
  const number = Number(/, (\d+)$/.exec(args)?.[1]);
  if (Number.isNaN(number)) throw new Error(`no number at the end of ${args.slice(-100)}`);
  return number;
}
