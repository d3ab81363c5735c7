import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { messageOf } from "../core/errors.ts";
import { checkTopicFilter } from "../core/selector.ts";
import { asCommand, type CliIo, durationOption, EXIT, parseCommand, UsageError } from "./io.ts";
import { readLine } from "./verify/file.ts";
import { Receiver } from "./verify/receiver.ts";
import { answer, describeVerdict } from "./verify/report.ts";
import { loadState, saveState } from "./verify/state.ts";
import { CompletenessTracker } from "./verify/tracker.ts";

const HELP = `millrace verify: proves from what arrives upstream that no record is missing.

Usage: millrace verify --url URL [options]
       millrace verify --file FILE [options]

Subscribes with QoS 1, removes duplicates by record id, and checks that the predecessor each record names was received
or told as a gap. Runs until Ctrl-C, or as said:
  --for 60s             stop after this time
  --idle 10s            stop when nothing came for this time
  --complete            stop as soon as everything up to the gateway's last status is in

  --url URL             mqtt://host:1883 or mqtts://host:8883
  --topic FILTER        what to subscribe to (again for more; default #)
  --client-id NAME      a persistent session: nothing is missed while this program itself is away
  --username NAME       with --password-env VARIABLE or --password-file FILE
  --ca FILE             certificate authority of an mqtts broker; --cert FILE and --key FILE for a client certificate
  --connect-timeout 10s how long to try for the first connection
  --file FILE           read saved messages instead: one JSON per line with topic, payload and properties
                        (what "mosquitto_sub -V 5 -q 1 -t '#' -F %j" writes; - is standard input)
  --state FILE          go on from an earlier run, and save there
  --from-start          the first record must be the chain's first
  --strict              exit 1 also for records that the gateway told as lost
  --json                the result as JSON

Exit: 0 complete (told gaps allowed), 1 something is missing, 66 nothing received, 69 no connection, 64 usage.

Example: millrace verify --url mqtt://127.0.0.1:1883 --topic 'acme/#' --idle 10s
`;

const OPTIONS = {
  url: { type: "string" },
  topic: { type: "string", multiple: true },
  "client-id": { type: "string" },
  username: { type: "string" },
  "password-env": { type: "string" },
  "password-file": { type: "string" },
  ca: { type: "string" },
  cert: { type: "string" },
  key: { type: "string" },
  "connect-timeout": { type: "string" },
  file: { type: "string" },
  state: { type: "string" },
  for: { type: "string" },
  idle: { type: "string" },
  complete: { type: "boolean" },
  "from-start": { type: "boolean" },
  strict: { type: "boolean" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

type Values = ReturnType<typeof parseCommand<typeof OPTIONS>>["values"];

const SAVE_EVERY_MS = 5_000;
const CHECK_EVERY_MS = 250;

/** `millrace verify`; resolves with a sysexits code. */
export function runVerify(args: string[], io: CliIo): Promise<number> {
  return asCommand("verify", io, async () => {
    const { values, positionals } = parseCommand(args, OPTIONS);
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    if (positionals.length > 0) throw new UsageError(`"${positionals[0]}" is not an option; give --url URL`);
    if ((values.url === undefined) === (values.file === undefined)) throw new UsageError("give either --url or --file");
    const tracker = new CompletenessTracker({ fromStart: values["from-start"] === true });
    if (values.state !== undefined) await loadState(values.state, tracker);
    const failed = values.file === undefined ? await listen(values, tracker, io) : await read(values.file, tracker, io);
    if (values.state !== undefined) await saveState(values.state, tracker);
    return failed ?? conclude(values, tracker, io);
  });
}

function conclude(values: Values, tracker: CompletenessTracker, io: CliIo): number {
  const verdict = tracker.report();
  const late = values.complete === true && !verdict.caughtUp;
  if (values.json) io.out(`${JSON.stringify({ ...verdict, answer: answer(verdict) }, null, 2)}\n`);
  else {
    io.out(describeVerdict(verdict));
    if (late) io.out("Not everything up to the gateway's last status is in.\n");
  }
  if (!verdict.complete) return EXIT.no;
  const told = verdict.chains.some((chain) => chain.gaps.length > 0);
  if (verdict.received === 0 && !told) return EXIT.noInput;
  return late || (values.strict === true && verdict.exactLoss > 0) ? EXIT.no : EXIT.ok;
}

/** @returns an exit code when it could not receive. */
async function listen(values: Values, tracker: CompletenessTracker, io: CliIo): Promise<number | undefined> {
  const forMs = durationOption("for", values.for);
  const idleMs = durationOption("idle", values.idle);
  const patienceMs = durationOption("connect-timeout", values["connect-timeout"]) ?? 10_000;
  const stop = new AbortController();
  const started = performance.now();
  let lastAt: number | undefined;
  const receiver = new Receiver({
    url: brokerUrl(values.url ?? ""),
    topics: filters(values.topic),
    ...(await credentials(values, io)),
    onMessage: (_topic, payload, properties, retained) => {
      lastAt = performance.now();
      tracker.message(payload, properties, retained);
    },
    onState: (state) => {
      if (state.connected) {
        lastAt ??= performance.now();
        io.err(`connected to ${values.url} with MQTT ${state.version === 5 ? "5" : "3.1.1"}\n`);
      } else {
        const risk = values["client-id"] === undefined ? "; without --client-id messages may be missed now" : "";
        io.err(`connection lost: ${state.reason}${risk}\n`);
      }
    },
  });
  const check = setInterval(() => {
    const now = performance.now();
    const over = forMs !== undefined && now - started >= forMs;
    const quiet = idleMs !== undefined && lastAt !== undefined && now - lastAt >= idleMs;
    if (over || quiet || (values.complete === true && tracker.report().caughtUp)) stop.abort();
  }, CHECK_EVERY_MS);
  const save = setInterval(() => {
    if (values.state === undefined) return;
    saveState(values.state, tracker).catch((error) => io.err(`state not saved: ${messageOf(error)}\n`));
  }, SAVE_EVERY_MS);
  try {
    await receiver.run(AbortSignal.any([stop.signal, io.signal]), patienceMs);
    return undefined;
  } catch (error) {
    io.err(`millrace verify: cannot receive from ${values.url}: ${messageOf(error)}\n`);
    return EXIT.unavailable;
  } finally {
    clearInterval(check);
    clearInterval(save);
  }
}

/** @returns an exit code when it cannot be read. */
async function read(file: string, tracker: CompletenessTracker, io: CliIo): Promise<number | undefined> {
  let number = 0;
  try {
    const input = createReadStream(file === "-" ? "/dev/stdin" : file);
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      number += 1;
      if (line.trim() === "") continue;
      const message = readLine(line);
      if (message === undefined) throw new Error(`line ${number} is not a JSON object with a payload`);
      tracker.message(message.payload, message.properties, message.retained);
    }
    return undefined;
  } catch (error) {
    io.err(`millrace verify: cannot read ${file}: ${messageOf(error)}\n`);
    return EXIT.noInput;
  }
}

function brokerUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !["mqtt:", "mqtts:"].includes(url.protocol)) {
    throw new UsageError(`--url "${text}" is not a broker's address; write mqtt://127.0.0.1:1883 or mqtts://…`);
  }
  if (url.password !== "") throw new UsageError("no password in --url; use --password-env or --password-file");
  return text;
}

function filters(topics: readonly string[] | undefined): string[] {
  const all = [...(topics ?? ["#"])];
  for (const topic of all) {
    try {
      checkTopicFilter(topic);
    } catch (error) {
      throw new UsageError(`--topic: ${messageOf(error)}`);
    }
  }
  return all;
}

async function credentials(values: Values, io: CliIo) {
  const variable = values["password-env"];
  const fromEnv = variable === undefined ? undefined : io.env[variable];
  if (variable !== undefined && fromEnv === undefined) throw new UsageError(`--password-env: ${variable} is not set`);
  const fromFile = await fileOption("password-file", values["password-file"]);
  const password = fromEnv ?? fromFile?.toString().replace(/\r?\n$/, "");
  const ca = await fileOption("ca", values.ca);
  const cert = await fileOption("cert", values.cert);
  const key = await fileOption("key", values.key);
  return {
    ...(values["client-id"] === undefined ? {} : { clientId: values["client-id"] }),
    ...(values.username === undefined ? {} : { username: values.username }),
    ...(password === undefined ? {} : { password }),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

async function fileOption(name: string, path: string | undefined): Promise<Buffer | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path);
  } catch (error) {
    throw new UsageError(`--${name}: ${messageOf(error)}`);
  }
}
