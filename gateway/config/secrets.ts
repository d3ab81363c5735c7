import { existsSync, readFileSync } from "node:fs";
import { access, constants, stat } from "node:fs/promises";
import { isAbsolute, resolve } from "node:path";
import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import { type SecretRef, secretRef } from "../core/options/units.ts";
import { Secret } from "../core/secret.ts";
import { isRecord } from "./explain.ts";
import type { Faults, Path } from "./faults.ts";
import type { ConfigDeps } from "./types.ts";

const MAX_SECRET_BYTES = 64 * 1024;

/**
 * What `UplinkContext.secret` is made of: reads a secret anew at each call. One line end at the end of a file is not
 * part of the secret. The returned function throws ConfigError, naming the variable, the file or the credential, never the content.
 */
export function secretReader(
  folder: string,
  env: Readonly<Record<string, string | undefined>>,
): (ref: SecretRef) => Secret {
  return (ref) => {
    if ("env" in ref) {
      const value = env[ref.env];
      if (value === undefined || value === "") throw new ConfigError(`the environment variable ${ref.env} is not set`);
      return new Secret(value, `env ${ref.env}`);
    }
    if ("credential" in ref) return credentialOf(ref.credential, env);
    return new Secret(readSecretFile(resolve(folder, ref.file), `the secret file ${ref.file}`), `file ${ref.file}`);
  };
}

/** systemd's own variable: the folder with the credentials of this service. */
const CREDENTIALS = "CREDENTIALS_DIRECTORY";

function credentialOf(name: string, env: Readonly<Record<string, string | undefined>>): Secret {
  const folder = env[CREDENTIALS] ?? "";
  if (folder === "") throw new ConfigError(`the credential ${name} is not there: ${noFolder(name)}`);
  const path = resolve(folder, name);
  if (!existsSync(path)) throw new ConfigError(`the credential ${name} is not there: ${cureOf(name)}`);
  return new Secret(readSecretFile(path, `the credential ${name}`), `credential ${name}`);
}

function noFolder(name: string): string {
  return `${CREDENTIALS} is not set, so systemd gave none; ${cureOf(name)}`;
}

function cureOf(name: string): string {
  return `write LoadCredential=${name}:/etc/millrace/secrets/${name} under [Service] (systemctl edit millrace), then restart`;
}

function readSecretFile(path: string, shown: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new ConfigError(`${shown} cannot be read`, { cause });
  }
  const value = text.replace(/\r?\n$/, "");
  if (value === "") throw new ConfigError(`${shown} is empty`);
  return value;
}

/** Every secret that `value` (parsed by `schema`) refers to, with its path. */
export function secretsIn(
  schema: unknown,
  value: unknown,
  path: Path = [],
): { readonly path: Path; readonly ref: SecretRef }[] {
  if (isSecretSchema(schema)) {
    const ref = secretRef.safeParse(value);
    return ref.success ? [{ path, ref: ref.data }] : [];
  }
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => secretsIn(option, value, path));
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    return secretsIn(schema.unwrap(), value, path);
  }
  if (schema instanceof z.ZodArray && Array.isArray(value)) {
    return value.flatMap((item, index) => secretsIn(schema.element, item, [...path, index]));
  }
  if (schema instanceof z.ZodObject && isRecord(value)) {
    return Object.entries(value).flatMap(([key, item]) => secretsIn(schema.shape[key], item, [...path, key]));
  }
  return [];
}

/** `describe` makes a copy of a schema, with the same definition. */
function isSecretSchema(schema: unknown): boolean {
  return schema instanceof z.ZodUnion && schema.def.options === secretRef.def.options;
}

/**
 * Warns of secrets that are not there, and of files that anybody can read. Warnings only: the machine that checks is
 * often not the one that runs, and a gateway without a password still has a queue to fill.
 */
export async function checkSecrets(
  secrets: readonly { readonly path: Path; readonly ref: SecretRef }[],
  folder: string,
  env: ConfigDeps["env"],
  faults: Faults,
): Promise<void> {
  for (const { path, ref } of secrets) {
    if ("env" in ref) {
      if (env !== undefined && (env[ref.env] ?? "") === "") {
        faults.warn(path, `the environment variable ${ref.env} is not set here; set it for the gateway`);
      }
    } else if ("credential" in ref) {
      const problem = await credentialProblem(ref.credential, env);
      if (problem !== undefined) faults.warn(path, `the credential ${ref.credential} ${problem}`);
    } else {
      const problem = await fileProblem(resolve(folder, ref.file));
      if (problem !== undefined) faults.warn(path, `the secret file ${ref.file} ${problem}`);
    }
  }
}

const TLS_FILES = ["ca", "cert", "key", "crl"];

/** Warns of certificate files, named relative to the configuration, that cannot be read on this machine. */
export async function checkTlsFiles(options: unknown, path: Path, folder: string, faults: Faults): Promise<void> {
  const tls = isRecord(options) && isRecord(options["tls"]) ? options["tls"] : {};
  for (const [key, file] of Object.entries(tls)) {
    if (!TLS_FILES.includes(key) || typeof file !== "string" || isAbsolute(file)) continue;
    const readable = await access(resolve(folder, file), constants.R_OK).then(
      () => true,
      () => false,
    );
    if (!readable) faults.warn([...path, "tls", key], `${file} cannot be read here; it is looked for in ${folder}`);
  }
}

/** Only the service itself has its credentials: on another machine, or at a terminal, nothing is known of them. */
async function credentialProblem(name: string, env: ConfigDeps["env"]): Promise<string | undefined> {
  if (env === undefined) return undefined;
  const folder = env[CREDENTIALS] ?? "";
  if (folder === "") return `is not there: ${noFolder(name)}`;
  const size = await stat(resolve(folder, name)).then(
    (stats) => stats.size,
    () => undefined,
  );
  if (size === undefined) return `is not there: ${cureOf(name)}`;
  return size === 0 ? "is empty" : undefined;
}

async function fileProblem(path: string): Promise<string | undefined> {
  try {
    const stats = await stat(path);
    if (!stats.isFile()) return "is not a regular file";
    if (stats.size === 0) return "is empty";
    if (stats.size > MAX_SECRET_BYTES) return "is larger than 64 KiB; is it the right one?";
    await access(path, constants.R_OK);
    if ((stats.mode & 0o004) !== 0) return "can be read by everybody; chmod 600 it";
    return undefined;
  } catch {
    return "cannot be read here; create it, readable by the user the gateway runs as";
  }
}
