import { open, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { z } from "zod";
import { ConfigError, messageOf } from "../core/errors.ts";
import { formatDuration, formatSize } from "../core/options/units.ts";
import { findControl } from "../http/control-path.ts";
import { asCommand, type CliIo, durationOption, EXIT, parseCommand, UsageError } from "./io.ts";
import { answers, ask, askJson, UnavailableError } from "./queue/client.ts";
import { WHERE_HELP, WHERE_OPTIONS, whereOf } from "./queue/where.ts";
import { WholeBlocks } from "./record/whole-blocks.ts";

const HELP = `millrace record: what passed on a link of the running gateway, as a capture file for Wireshark.

Usage: millrace record LINK [--for 30s] [-o FILE] [--config FILE | --data DIR] [--json]
       millrace record      (shows the links, and how much is held of each)

      --for DURATION  what passes from now on, for so long; without it, what the gateway holds of the last minutes
  -o, --out FILE      the file (default: LINK-TIME.pcapng here)
${WHERE_HELP}
      --json          what was written, as one line of JSON

Ctrl-C ends --for early; what has come is kept. The gateway itself writes such files to its data folder's "recordings" when a
device stops answering or a frame is malformed or foreign. The file says in its comment (Wireshark: Statistics, Capture File
Properties) how its frames are decoded: Modbus TCP and UDP as they are, RTU and ASCII as link type USER0:

  tshark -r FILE -o 'uat:user_dlts:"User 0 (DLT=147)","mbrtu","0","","0",""'

To play it again as a device: millrace simulate --recording FILE

Exit: 0 written, 64 usage, 69 no gateway runs here, 74 the file cannot be written, 78 no such link, or it is not recorded.

Example: millrace record plc-1 --for 30s -o press.pcapng --config /etc/millrace/millrace.yaml
`;

const OPTIONS = {
  ...WHERE_OPTIONS,
  for: { type: "string" },
  out: { type: "string", short: "o" },
} as const;

const linkStatus = z.looseObject({
  link: z.string(),
  recording: z.boolean(),
  driver: z.string(),
  transport: z.string().optional(),
  at: z.string().optional(),
  chunks: z.number().optional(),
  bytes: z.number().optional(),
  ageMs: z.number().optional(),
});
const statusAnswer = z.looseObject({ links: z.array(linkStatus) });

interface Request {
  readonly control: string;
  readonly link: string;
  readonly forMs: number | undefined;
  /** Absolute. */
  readonly file: string;
}

/** `millrace record`; resolves with a sysexits code. */
export function runRecord(args: string[], io: CliIo): Promise<number> {
  return asCommand("record", io, async () => {
    const { values, positionals } = parseCommand(args, OPTIONS);
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    const [link, ...more] = positionals;
    if (more.length > 0) throw new UsageError("one link at a time");
    const forMs = durationOption("for", values.for);
    if (forMs !== undefined && forMs < 1) throw new UsageError("--for needs a time, such as 30s");
    const { dataDir } = await whereOf(values, io);
    try {
      const control = await findControl(dataDir);
      if (!(await answers(control)))
        throw new UnavailableError(`no gateway runs on ${dataDir}: millrace run starts it`);
      if (link === undefined) return await showLinks(control, values.json === true, io);
      const file = resolve(io.cwd, values.out ?? defaultName(link));
      return await record({ control, link, forMs, file }, values.json === true, io);
    } catch (error) {
      if (error instanceof UsageError) throw error;
      io.err(`millrace record: ${messageOf(error)}\n`);
      return exitCode(error);
    }
  });
}

async function showLinks(control: string, json: boolean, io: CliIo): Promise<number> {
  const found = await askJson(control, "GET", "/record/links", io.signal);
  if (json) {
    io.out(`${JSON.stringify(found)}\n`);
    return EXIT.ok;
  }
  const { links } = statusAnswer.parse(found);
  for (const { at, ageMs = 0, bytes = 0, chunks = 0, driver, link, recording, transport } of links) {
    const where = [driver, transport, at].filter((part) => part !== undefined).join(" ");
    const held = recording ? `${formatSize(bytes)} in ${chunks} chunks, of ${formatDuration(ageMs)}` : "not recorded";
    io.out(`${link}  ${where}: ${held}\n`);
  }
  if (links.length === 0) io.out("the gateway has no links\n");
  return EXIT.ok;
}

async function record(request: Request, json: boolean, io: CliIo): Promise<number> {
  const { control, file, forMs, link } = request;
  const query = new URLSearchParams({ link, ...(forMs === undefined ? {} : { forMs: String(forMs) }) });
  const response = await ask(control, "GET", `/record?${query}`, io.signal);
  if (forMs !== undefined && io.errTty)
    io.err(`recording ${link} for ${formatDuration(forMs)}; Ctrl-C ends it early\n`);
  const blocks = new WholeBlocks();
  const part = join(dirname(file), `.${Date.now().toString(36)}.pcapng.part`);
  const out = await open(part, "wx", 0o600);
  let early: string | undefined;
  try {
    try {
      for await (const chunk of response) await out.writeFile(blocks.take(chunk));
    } catch (error) {
      if (blocks.bytes === 0) throw error;
      early = io.signal.aborted ? "ended early" : `the gateway went away: ${messageOf(error)}`;
    }
    await out.close();
    await rename(part, file);
  } catch (error) {
    await out.close().catch(() => {});
    await rm(part, { force: true });
    throw error;
  }
  const { bytes, packets } = blocks;
  if (json) io.out(`${JSON.stringify({ file, link, packets, bytes, ...(early === undefined ? {} : { early }) })}\n`);
  else io.out(`${file}: ${packets} packets, ${formatSize(bytes)}${early === undefined ? "" : ` (${early})`}\n`);
  return EXIT.ok;
}

function defaultName(link: string): string {
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  return `${link.replace(/[^\p{L}\p{N}._-]+/gu, "_")}-${time}.pcapng`;
}

function exitCode(error: unknown): number {
  if (error instanceof ConfigError) return EXIT.config;
  const isFile = error instanceof Error && "syscall" in error && "path" in error;
  return isFile ? EXIT.ioError : EXIT.unavailable;
}
