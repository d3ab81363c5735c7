import { open, readFile, rm, stat } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { messageOf } from "../core/errors.ts";
import { formatSize } from "../core/options/units.ts";
import type { SupportFile } from "../core/support.ts";
import { findControl } from "../http/control-path.ts";
import { asCommand, type CliIo, EXIT, parseCommand, UsageError } from "./io.ts";
import { ask } from "./queue/client.ts";
import { type Where, whereOf } from "./queue/where.ts";

const HELP = `millrace support - one file with what somebody elsewhere needs to help

Usage: millrace support [--config FILE | --data DIR] [--output FILE]

  -c, --config FILE   the gateway's configuration (default: millrace.yaml)
  --data DIR          its data folder instead, where there is no configuration at hand
  -o, --output FILE   write it there (default: millrace-support-ID-TIME.tar.gz in this folder)
  -h, --help          this text

In it: versions, the machine, free disk, the configuration and its faults, status, plan of requests, metrics, the last lines of
the log, the state of the queue, the newest entries of the audit trail, what was learnt of the devices, a listing of the data
folder. Secrets are replaced by [secret]; names of hosts, topics, devices and users stay. No values of the queue are in it.
The file can be read by whoever ran the command only. A gateway that runs is asked over its control socket; without one the rest
is gathered from the disk, and the log is not in it: add it with journalctl -u millrace -n 2000 > log.txt

Exit codes: 0 done, 64 usage, 74 it could not be written.

Example: sudo millrace support --config /etc/millrace/millrace.yaml --output support.tar.gz
`;

/** What is gathered from the disk. */
export interface StoppedSupport {
  readonly gatewayId: string;
  readonly dataDir: string | undefined;
  readonly config?: { readonly path: string; readonly folder: string };
  readonly env: CliIo["env"];
  readonly nodeVersion: string | undefined;
  readonly uplinks: readonly string[];
  readonly maxBytes: number;
  /** Why no running gateway was asked. */
  readonly live: string;
}

export interface SupportTools {
  bundle(parts: StoppedSupport): Promise<SupportFile>;
  lockHolder(dataDir: string): Promise<number | undefined>;
}

/** `millrace support`; resolves with a sysexits code. */
export function runSupport(args: string[], io: CliIo, tools: SupportTools): Promise<number> {
  return asCommand("support", io, async () => {
    const { values, positionals } = parseCommand(args, {
      config: { type: "string", short: "c" },
      data: { type: "string" },
      output: { type: "string", short: "o" },
      help: { type: "boolean", short: "h" },
    });
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    if (positionals.length > 0) throw new UsageError(`"${positionals[0]}" is not an option; give --config or --data`);
    const place = await placeOf(values, io);
    const asked = await live(place, io);
    const file = typeof asked === "string" ? await stopped(place, asked, io, tools) : asked;
    const path = resolve(io.cwd, values.output ?? file.name);
    try {
      await save(path, file.bytes);
    } catch (error) {
      io.err(`millrace support: it cannot be written: ${messageOf(error)}; name another file with --output\n`);
      return EXIT.ioError;
    }
    io.out(`${path} (${formatSize(file.bytes.length)})\n`);
    if (typeof asked === "string") io.err(`No running gateway was asked: ${asked}\n`);
    io.err(
      "Secrets are taken out of it; names of hosts, topics, devices and users are not: look before you send it on.\n",
    );
    return EXIT.ok;
  });
}

/** Which gateway is meant; a configuration that is broken is part of what is sent, not a reason to send nothing. */
interface Place {
  readonly config: { readonly path: string; readonly folder: string } | undefined;
  readonly where: Where | undefined;
  readonly fault: string;
}

/** @throws UsageError. */
async function placeOf(
  values: { readonly config?: string | undefined; readonly data?: string | undefined },
  io: CliIo,
): Promise<Place> {
  if (values.data !== undefined) {
    const where = await whereOf(values, io);
    const found = await stat(where.dataDir).catch(() => undefined);
    if (found?.isDirectory() !== true) throw new UsageError(`--data: ${where.dataDir} is no folder`);
    return { config: undefined, where, fault: "" };
  }
  const path = resolve(io.cwd, values.config ?? "millrace.yaml");
  try {
    await readFile(path);
  } catch (error) {
    throw new UsageError(`${messageOf(error)}; name the configuration with --config, or the data folder with --data`);
  }
  const config = { path, folder: dirname(path) };
  try {
    return { config, where: await whereOf(values, io), fault: "" };
  } catch (error) {
    return { config, where: undefined, fault: messageOf(error) };
  }
}

/** The bundle of a running gateway, or why there is none. */
async function live({ where, fault }: Place, io: CliIo): Promise<SupportFile | string> {
  if (where === undefined) return `the configuration does not say where its data is: ${fault}`;
  try {
    const response = await ask(await findControl(where.dataDir), "GET", "/support", io.signal);
    const chunks: Buffer[] = [];
    for await (const chunk of response) if (Buffer.isBuffer(chunk)) chunks.push(chunk);
    const name = /filename="([^"]+)"/.exec(response.headers["content-disposition"] ?? "")?.[1];
    return { name: basename(name ?? "millrace-support.tar.gz"), bytes: Buffer.concat(chunks) };
  } catch (error) {
    io.signal.throwIfAborted();
    return messageOf(error);
  }
}

async function stopped({ config, where }: Place, reason: string, io: CliIo, tools: SupportTools): Promise<SupportFile> {
  const holder = where && (await tools.lockHolder(where.dataDir).catch(() => undefined));
  return await tools.bundle({
    gatewayId: where?.gatewayId ?? "unknown",
    dataDir: where?.dataDir,
    ...(config && { config }),
    env: io.env,
    nodeVersion: io.nodeVersion,
    uplinks: where?.configured ?? [],
    maxBytes: where?.maxBytes ?? 0,
    live: holder === undefined ? reason : `${reason}; process ${holder} has the data folder open`,
  });
}

/** Never over a file that is there, and readable for nobody else. */
async function save(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(bytes);
    await file.close();
  } catch (error) {
    await file.close().catch(() => {});
    await rm(path, { force: true });
    throw error;
  }
}
