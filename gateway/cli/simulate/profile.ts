import { ConfigFaults } from "../../config/faults.ts";
import { layerOf } from "../../config/profiles/layers.ts";
import { findProfile, shelvesOf } from "../../config/profiles/library.ts";
import type { Scalar } from "../../config/profiles/placeholders.ts";
import { readProfile } from "../../config/profiles/profile-file.ts";
import type { DriverModule } from "../../core/driver.ts";
import { ConfigError } from "../../core/errors.ts";
import { UsageError } from "../io.ts";

/** Where nothing else is said; 502 is for root alone. */
const PORT = 5020;

export const PROFILE_OPTIONS = {
  profile: { type: "string" },
  unit: { type: "string" },
  set: { type: "string", multiple: true },
} as const;

interface Given {
  readonly profile: string;
  readonly unit?: string | undefined;
  readonly set?: readonly string[] | undefined;
  readonly port?: string | undefined;
  readonly path?: string | undefined;
}

/**
 * The simulated device that has the tags of a profile, as `startSimulator` takes it. @throws UsageError, ConfigError.
 */
export async function deviceOfProfile(
  given: Given,
  cwd: string,
  drivers: readonly DriverModule[],
): Promise<Record<string, unknown>> {
  const { port, path } = given;
  const unit = numberOf("--unit", given.unit ?? "1", 255);
  if (port !== undefined && path !== undefined) throw new UsageError("--port or --path, not both");
  const at = path === undefined ? { port: numberOf("--port", port ?? String(PORT), 65_535) } : { path };
  const found = await findProfile(given.profile, await shelvesOf(cwd));
  if (!found) throw new ConfigError(`there is no profile "${given.profile}"; see: millrace profile list`);
  const profile = await profileIn(found);
  const parameters = settings(given.set ?? []);
  const unknown = Object.keys(parameters).find((name) => !profile.parameters.has(name));
  if (unknown !== undefined) {
    const names = [...profile.parameters.keys()].join(", ");
    throw new UsageError(
      `--set ${unknown}: the profile has ${names === "" ? "no parameters" : `the parameters ${names}`}`,
    );
  }
  const faults: string[] = [];
  const layer = layerOf(profile, parameters, (_path, message, parameter) => {
    faults.push(parameter === undefined ? message : `${parameter} ${message}`);
  });
  if (!layer || faults.length > 0) throw new ConfigError(`${faults.join("; ")} (--set NAME=VALUE gives a parameter)`);
  const driver = profile.driver ?? "modbus";
  const module = drivers.find(({ name }) => name === driver);
  if (!module?.simulator?.ofTags)
    throw new ConfigError(`devices of driver "${driver}" cannot be simulated by a profile`);
  const tags = layer.lists.tags.map(({ value }) => value);
  return { driver, ...module.simulator.ofTags({ unit, tags, link: profile.link, at }) };
}

async function profileIn(found: NonNullable<Awaited<ReturnType<typeof findProfile>>>) {
  try {
    return await readProfile(found, found.file);
  } catch (error) {
    if (error instanceof ConfigFaults) throw new ConfigError(error.message, { cause: error });
    throw error;
  }
}

function settings(texts: readonly string[]): Record<string, Scalar> {
  return Object.fromEntries(
    texts.map((text): [string, Scalar] => {
      const [, name, value] = /^([A-Za-z_]\w*)=(.*)$/.exec(text) ?? [];
      if (name === undefined || value === undefined) throw new UsageError(`--set ${text}: NAME=VALUE is needed`);
      return [name, value !== "" && Number.isFinite(Number(value)) ? Number(value) : value];
    }),
  );
}

function numberOf(option: string, text: string, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value <= most) return value;
  throw new UsageError(`${option} needs a number from 0 to ${most}, not "${text}"`);
}
