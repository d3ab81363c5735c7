import type { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";
import type { DriverModule } from "../../core/driver.ts";
import { ConfigError } from "../../core/errors.ts";
import type { Logger } from "../../core/log.ts";
import type { Recording, Replay, ReplayOptions } from "../../core/recording.ts";
import { UsageError } from "../io.ts";

export const RECORDING_OPTIONS = {
  recording: { type: "string" },
  delays: { type: "boolean" },
  "at-end": { type: "string" },
  unknown: { type: "string" },
} as const;

export interface RecordingDeps {
  readonly drivers: readonly DriverModule[];
  /** Reads a capture file. @throws ConfigError. */
  readonly readRecording: (file: Buffer) => Recording;
}

interface Values {
  readonly port?: string | undefined;
  readonly path?: string | undefined;
  readonly delays?: boolean | undefined;
  readonly "at-end"?: string | undefined;
  readonly unknown?: string | undefined;
}

/** @throws UsageError. */
export function replayOptions(values: Values): ReplayOptions {
  const { delays = false, path, port } = values;
  const number = port === undefined ? undefined : Number(port);
  if (number !== undefined && (!Number.isInteger(number) || number < 0 || number > 65_535)) {
    throw new UsageError(`--port "${port}" is no port; give 0 to 65535`);
  }
  if (port !== undefined && path !== undefined) throw new UsageError("--port and --path: one of them");
  const atEnd = oneOf("at-end", values["at-end"] ?? "repeat", ["repeat", "loop", "silence"] as const);
  const unknown = oneOf("unknown", values.unknown ?? "exception", ["exception", "silence"] as const);
  return { port: number, path, atEnd, delays, unknown };
}

/** @throws ConfigError; what reading the file throws. */
export async function startReplay(
  path: string,
  options: ReplayOptions,
  deps: RecordingDeps,
  log: Logger,
): Promise<Replay> {
  const recording = deps.readRecording(await readFile(path));
  // Another program's captures are taken for Modbus.
  const name = recording.driver ?? "modbus";
  const module = deps.drivers.find((driver) => driver.name === name);
  if (!module?.recording) throw new ConfigError(`a recording of driver "${name}" cannot be played by this version`);
  return await module.recording.replay(recording, options, log);
}

function oneOf<T extends string>(name: string, value: string, words: readonly T[]): T {
  const found = words.find((word) => word === value);
  if (found === undefined) throw new UsageError(`--${name} "${value}" is none of ${words.join(", ")}`);
  return found;
}
