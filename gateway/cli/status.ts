import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { messageOf } from "../core/errors.ts";
import { httpOptions } from "../core/options/http.ts";
import { findControl } from "../http/control-path.ts";
import { dataFolder } from "./audit.ts";
import { asCommand, type CliIo, EXIT, parseCommand, UsageError } from "./io.ts";
import { askJson } from "./queue/client.ts";
import { describeStatus } from "./status/describe.ts";
import { statusReport } from "./status/report.ts";

const HELP = `millrace status: what a running gateway is doing: links, devices, queue, uplinks.

Usage: millrace status [--config FILE | --url URL] [--json]

  --config, -c FILE   take the port from this configuration (default: millrace.yaml where it exists)
  --url URL           ask here instead, e.g. http://127.0.0.1:8080
  --json              the gateway's answer as it is

Exit: 0 healthy, 1 running but not healthy, 69 no gateway answers, 64 usage.

Example: millrace status --config /etc/millrace/millrace.yaml
`;

const OPTIONS = {
  config: { type: "string", short: "c" },
  url: { type: "string" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

const TIMEOUT_MS = 5_000;
const MOST_BYTES = 16 * 1024 * 1024;

/** `millrace status`; resolves with a sysexits code. */
export function runStatus(args: string[], io: CliIo): Promise<number> {
  return asCommand("status", io, async () => {
    const { values, positionals } = parseCommand(args, OPTIONS);
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    if (positionals.length > 0) throw new UsageError(`"${positionals[0]}" is not an option; give --config or --url`);
    const { base, get } = await gatewayOf(values, io);
    let json: unknown;
    try {
      json = await get("/status");
    } catch (error) {
      io.err(`millrace status: no gateway answers at ${base}: ${messageOf(error)}\n`);
      return EXIT.unavailable;
    }
    const report = statusReport.safeParse(json);
    if (!report.success) {
      io.err(`millrace status: what answers at ${base} is not a millrace gateway\n`);
      return EXIT.unavailable;
    }
    io.out(values.json ? `${JSON.stringify(json, null, 2)}\n` : describeStatus(report.data, Date.now()));
    return report.data.health.ok ? EXIT.ok : EXIT.no;
  });
}

/** GETs JSON within 5 s. @throws Error naming the cause. */
export async function fetchJson(url: URL, signal: AbortSignal): Promise<unknown> {
  try {
    const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]) });
    const body = await response.text();
    if (!response.ok) throw new Error(`HTTP ${response.status}: ${body.slice(0, 200).trim()}`);
    if (body.length > MOST_BYTES) throw new Error("the answer is too long");
    return JSON.parse(body);
  } catch (error) {
    // fetch says only "fetch failed"; the reason is its cause.
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    throw new Error(messageOf(cause), { cause: error });
  }
}

/** How a gateway is asked, and where, for messages. */
export interface Asked {
  readonly base: string;
  readonly get: (path: string) => Promise<unknown>;
}

/** The gateway that is meant: by its address or, where its port speaks TLS, by the control socket of its data folder. @throws UsageError. */
export async function gatewayOf(
  { url, config }: { readonly url?: string | undefined; readonly config?: string | undefined },
  io: CliIo,
): Promise<Asked> {
  const found = url === undefined ? await placeOf(config, io) : { base: baseUrl(url) };
  const { base } = found;
  if ("socket" in found) return { base, get: (path) => askJson(base, "GET", path, io.signal) };
  return { base, get: (path) => fetchJson(new URL(path, base), io.signal) };
}

function baseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "http:") throw new UsageError(`--url "${text}" is not an address; write http://127.0.0.1:8080`);
  return url.origin;
}

/** Where the gateway of this configuration answers. @throws UsageError. */
async function placeOf(
  config: string | undefined,
  io: CliIo,
): Promise<{ readonly base: string } | { readonly base: string; readonly socket: true }> {
  const file = resolve(io.cwd, config ?? "millrace.yaml");
  let http: unknown;
  try {
    const document = z.looseObject({ http: z.unknown() }).safeParse(parse(await readFile(file, "utf8")));
    http = document.data?.http;
  } catch (error) {
    if (config !== undefined) throw new UsageError(`--config: ${messageOf(error)}`);
  }
  const options = httpOptions.safeParse(http ?? {});
  if (!options.success) throw new UsageError(`${file}: http is not valid; see millrace check`);
  const { host, port, tls } = options.data;
  if (tls) return { base: await findControl(await dataFolder({ config }, io)), socket: true };
  if (port === 0) throw new UsageError(`${file} has http.port 0; give --url with the port from the gateway's log`);
  return { base: `http://${host.includes(":") ? `[${host}]` : host}:${port}` };
}
