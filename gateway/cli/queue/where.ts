import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { messageOf } from "../../core/errors.ts";
import { parseSize } from "../../core/options/units.ts";
import { type CliIo, UsageError } from "../io.ts";

/** Which queue is meant. */
export interface Where {
  /** Absolute. */
  readonly dataDir: string;
  /** Undefined where no configuration was read. */
  readonly gatewayId: string | undefined;
  /** Uplinks of the configuration; undefined where none was read. */
  readonly configured: readonly string[] | undefined;
  /** 0 where no configuration was read. */
  readonly maxBytes: number;
}

export const WHERE_OPTIONS = {
  config: { type: "string", short: "c" },
  data: { type: "string" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

export const WHERE_HELP = `  -c, --config FILE   the gateway's configuration (default: millrace.yaml)
      --data DIR      its data folder instead, where there is no configuration at hand`;

/** Only what is needed of it: a fault elsewhere must not keep anybody from looking into the queue. */
const config = z.looseObject({
  gateway: z.looseObject({ id: z.string(), dataDir: z.string().default("./data") }),
  queue: z.looseObject({ maxBytes: z.string().default("2GiB") }).prefault({}),
  uplinks: z.array(z.looseObject({ name: z.string() })).default([]),
});

/** @throws UsageError. */
export async function whereOf(
  values: { readonly config?: string | undefined; readonly data?: string | undefined },
  io: CliIo,
): Promise<Where> {
  if (values.data !== undefined) {
    if (values.config !== undefined) throw new UsageError("--data and --config: one of them");
    return { dataDir: resolve(io.cwd, values.data), gatewayId: undefined, configured: undefined, maxBytes: 0 };
  }
  const file = resolve(io.cwd, values.config ?? "millrace.yaml");
  let found: unknown;
  try {
    found = parse(await readFile(file, "utf8"));
  } catch (error) {
    const cure =
      values.config === undefined ? "; name the configuration with --config, or its data folder with --data" : "";
    throw new UsageError(`${messageOf(error)}${cure}`);
  }
  const parsed = config.safeParse(found);
  if (!parsed.success) throw new UsageError(`${file} is not valid; see: millrace check --config ${file}`);
  const { gateway, queue, uplinks } = parsed.data;
  return {
    dataDir: resolve(dirname(file), gateway.dataDir),
    gatewayId: gateway.id,
    configured: uplinks.map(({ name }) => name),
    maxBytes: parseSize(queue.maxBytes) ?? 0,
  };
}
