import { z } from "zod";
import { messageOf } from "../core/errors.ts";
import { formatDuration } from "../core/options/units.ts";
import { asCommand, type CliIo, EXIT, parseCommand, UsageError } from "./io.ts";
import { gatewayOf } from "./status.ts";
import { table } from "./table.ts";

const HELP = `millrace requests: what a running gateway asks of each device, and how long it takes.

Usage: millrace requests [DEVICE...] [--config FILE | --url URL] [--json]

  --config, -c FILE   take the port from this configuration (default: millrace.yaml where it exists)
  --url URL           ask here instead, e.g. http://127.0.0.1:8080
  --json              the gateway's answer as it is

PLANNED is the time a request should take of its line, MEASURED what it took lately, from question to answer. Then what was
learnt about each device, and the tags that are left out because the device refuses them.
Without a gateway, millrace check --plan shows the plan of a configuration.

Exit: 0 shown, 69 no gateway answers, 64 usage.

Example: millrace requests meter-1 --config /etc/millrace/millrace.yaml
`;

const OPTIONS = {
  config: { type: "string", short: "c" },
  url: { type: "string" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

const request = z.looseObject({
  label: z.string(),
  tags: z.array(z.string()),
  busyMs: z.number(),
  spare: z.number().optional(),
  measuredMs: z.number().optional(),
});
const report = z.looseObject({
  gateway: z.string(),
  links: z.array(
    z.looseObject({
      link: z.string(),
      state: z.string(),
      predictedPercent: z.number(),
      measuredPercent: z.number(),
      devices: z.array(
        z.looseObject({
          device: z.string(),
          state: z.string(),
          measuredPercent: z.number(),
          learnt: z.array(z.string()),
        }),
      ),
      groups: z.array(
        z.looseObject({
          device: z.string(),
          everyMs: z.number(),
          requests: z.array(request),
          excluded: z.array(z.object({ tag: z.string(), reason: z.string() })),
          unasked: z.array(z.string()),
        }),
      ),
    }),
  ),
});
type Report = z.infer<typeof report>;
type Link = Report["links"][number];

/** `millrace requests`; resolves with a sysexits code. */
export function runRequests(args: string[], io: CliIo): Promise<number> {
  return asCommand("requests", io, async () => {
    const { values, positionals } = parseCommand(args, OPTIONS);
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    const { base, get } = await gatewayOf(values, io);
    let json: unknown;
    try {
      json = await get("/plan");
    } catch (error) {
      io.err(
        `millrace requests: no gateway answers at ${base}: ${messageOf(error)}\n` +
          "Without a gateway, millrace check --plan shows the plan of a configuration.\n",
      );
      return EXIT.unavailable;
    }
    const found = report.safeParse(json);
    if (!found.success) {
      io.err(`millrace requests: what answers at ${base} is not a millrace gateway\n`);
      return EXIT.unavailable;
    }
    const links = chosen(found.data, positionals);
    io.out(values.json ? `${JSON.stringify(json, null, 2)}\n` : `${links.map(describe).join("\n\n")}\n`);
    return EXIT.ok;
  });
}

/** The links, with these devices only where some are named. @throws UsageError. */
function chosen({ links }: Report, names: readonly string[]): Link[] {
  const known = links.flatMap(({ devices }) => devices.map(({ device }) => device));
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new UsageError(`there is no device "${unknown}"; there is ${known.join(", ")}`);
  if (names.length === 0) return links;
  const isNamed = ({ device }: { readonly device: string }) => names.includes(device);
  return links
    .map((link) => ({ ...link, devices: link.devices.filter(isNamed), groups: link.groups.filter(isNamed) }))
    .filter(({ devices }) => devices.length > 0);
}

function describe(link: Link): string {
  const head = `${link.link}  ${link.state}, planned load ${percent(link.predictedPercent)}, measured ${percent(link.measuredPercent)}`;
  const parts = [
    head,
    table([["DEVICE", "EVERY", "REQUEST", "TAGS", "SPARE", "PLANNED", "MEASURED"], ...rowsOf(link)]),
  ];
  return [...parts, ...notesOf(link)].join("\n");
}

function rowsOf({ groups }: Link): string[][] {
  return groups.flatMap(({ device, everyMs, requests, unasked }) => {
    const asked = requests.map(({ label, tags, spare, busyMs, measuredMs }) => [
      device,
      formatDuration(everyMs),
      label,
      String(tags.length),
      spare === undefined ? "" : String(spare),
      busyMs === 0 ? "" : `${busyMs.toFixed(1)} ms`,
      measuredMs === undefined ? "" : `${measuredMs.toFixed(1)} ms`,
    ]);
    return unasked.length === 0 ? asked : [...asked, [device, "", "not asked for", String(unasked.length), "", "", ""]];
  });
}

function notesOf({ devices, groups }: Link): string[] {
  const left = groups.flatMap(({ device, excluded }) =>
    excluded.map(({ tag, reason }) => `${device}/${tag} is left out: ${reason}`),
  );
  const learnt = devices.flatMap(({ device, learnt: lines }) => lines.map((line) => `${device}: ${line}`));
  const loads = devices.map(({ device, state, measuredPercent }) => `${device} ${state} ${percent(measuredPercent)}`);
  return [...(loads.length > 1 ? [`line time: ${loads.join(", ")}`] : []), ...learnt, ...left];
}

function percent(value: number): string {
  return `${value.toFixed(1)} %`;
}
