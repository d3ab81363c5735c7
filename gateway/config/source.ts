import { type FileHandle, open } from "node:fs/promises";
import { messageOf } from "../core/errors.ts";
import { ConfigFaults } from "./faults.ts";

/** Ten thousand tags take about one megabyte. */
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * The text of a configuration file. `shown` is the file's name in messages.
 * @throws ConfigFaults when it cannot be read (`noInput`), is too big, empty or not UTF-8.
 */
export async function readSource(file: string, shown: string): Promise<string> {
  const fail = (message: string, noInput = false, line = 1): never => {
    throw new ConfigFaults([{ file: shown, line, column: 1, path: "", message }], noInput);
  };
  const handle = await open(file, "r").catch((error: unknown) => fail(unreadable(error), true));
  const bytes = await readBounded(handle)
    .catch((error: unknown) => fail(unreadable(error), true))
    .finally(() => handle.close());
  if (bytes.length > MAX_BYTES) fail(`larger than ${MAX_BYTES / 1024 / 1024} MiB; is this the configuration?`);
  const text = decode(bytes);
  if (typeof text === "number") return fail("not UTF-8 text; save the file as UTF-8", false, text);
  if (text.trim() === "") fail("the file is empty; begin with an example, or with: gateway: { id: my-gateway }");
  return text;
}

async function readBounded(handle: FileHandle): Promise<Uint8Array> {
  const stats = await handle.stat();
  if (!stats.isFile()) throw new Error("not a regular file; name the configuration file itself");
  const buffer = new Uint8Array(Math.min(stats.size, MAX_BYTES) + 1);
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}

/** The text, or the number of the first line that is not UTF-8. */
function decode(bytes: Uint8Array): string | number {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    return decoder.decode(bytes);
  } catch {
    return 1 + firstBadLine(bytes);
  }
}

function firstBadLine(bytes: Uint8Array): number {
  const lines = Buffer.from(bytes).toString("latin1").split("\n");
  return lines.findIndex((line) => {
    const raw = Buffer.from(line, "latin1");
    return !raw.equals(Buffer.from(raw.toString("utf8"), "utf8"));
  });
}

function unreadable(error: unknown): string {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  if (code === "ENOENT") return "no such file; name one with --config FILE";
  if (code === "EACCES") return "not allowed to read the file; check its owner and mode";
  if (code === "EISDIR") return "is a folder; name the configuration file itself";
  return `cannot be read: ${messageOf(error)}`;
}
