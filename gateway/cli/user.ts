import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { Accounts } from "../accounts/accounts.ts";
import { passwordFault } from "../accounts/password.ts";
import { ROLES, roleName } from "../accounts/roles.ts";
import { ConfigError, messageOf, StorageError } from "../core/errors.ts";
import { dataFolder } from "./audit.ts";
import { asCommand, type CliIo, EXIT, parseCommand, UsageError } from "./io.ts";
import { table } from "./table.ts";

const HELP = `millrace user - who may log in to a gateway, running or stopped

Usage: millrace user list   [--config FILE | --data DIR]
       millrace user add    NAME --role ROLE [--password-file FILE]
       millrace user passwd NAME [--password-file FILE]
       millrace user role   NAME --role ROLE
       millrace user remove NAME

  -c, --config FILE      take the data folder from this configuration (default: millrace.yaml)
  --data DIR             the data folder itself
  --role ROLE            viewer (sees), operator (and writes tags), engineer (and configures), admin (and users)
  --password-file FILE   the first line of a file; without it you are asked twice, with nothing shown of what is typed, and where
                         stdin is no terminal its first line is taken
  -h, --help             this text

A password has at least 12 characters and is kept as a scrypt hash. A running gateway takes the change within a second, and
writes it into its audit trail. Run it as the gateway's user, or as root.
Exit codes: 0 done, 64 usage, 74 the accounts cannot be written, 78 the change is refused.

Example: millrace user add anna --role admin --config /etc/millrace/millrace.yaml
`;

/** Of stdin: more is no password. */
const MOST_BYTES = 1_024;

/** `millrace user`. */
export function runUser(args: string[], io: CliIo): Promise<number> {
  return asCommand("user", io, async () => {
    const { values, positionals } = parseCommand(args, {
      config: { type: "string", short: "c" },
      data: { type: "string" },
      role: { type: "string" },
      "password-file": { type: "string" },
      help: { type: "boolean", short: "h" },
    });
    const [verb, name, ...more] = positionals;
    if (values.help || verb === undefined) {
      io.out(HELP);
      return values.help ? EXIT.ok : EXIT.usage;
    }
    if (more.length > 0) throw new UsageError(`"${more[0]}" is one too many; a password is never on the command line`);
    const accounts = new Accounts({ dataDir: await dataFolder(values, io), now: () => Date.now() });
    try {
      if (verb === "list" && name === undefined) return await list(accounts, io);
      if (name === undefined) throw new UsageError("which user? Give a name");
      const done = await change(verb, name, { accounts, io, role: values.role, file: values["password-file"] });
      io.out(`${done}\n`);
      return EXIT.ok;
    } catch (error) {
      if (!(error instanceof ConfigError || error instanceof StorageError)) throw error;
      io.err(`millrace user: ${messageOf(error)}\n`);
      return error instanceof StorageError ? EXIT.ioError : EXIT.config;
    }
  });
}

interface How {
  readonly accounts: Accounts;
  readonly io: CliIo;
  readonly role: string | undefined;
  readonly file: string | undefined;
}

/** Gives what to say when it is done. @throws ConfigError, StorageError, UsageError. */
async function change(verb: string, name: string, how: How): Promise<string> {
  const { accounts } = how;
  if (verb === "add") {
    const role = roleOf(how);
    await accounts.add(name, role, await passwordFor(name, how));
    return `user ${name} added as ${role}`;
  }
  if (verb === "passwd") {
    if (!(await accounts.user(name))) throw new ConfigError(`there is no user ${name}`);
    await accounts.setPassword(name, await passwordFor(name, how));
    return `user ${name} has a new password`;
  }
  if (verb === "role") {
    const role = roleOf(how);
    await accounts.setRole(name, role);
    return `user ${name} is ${role} now`;
  }
  if (verb === "remove") {
    await accounts.remove(name);
    return `user ${name} removed`;
  }
  throw new UsageError(`"${verb}" is none of list, add, passwd, role and remove`);
}

async function list(accounts: Accounts, io: CliIo): Promise<number> {
  const users = await accounts.users();
  const rows = users.map(({ name, role, changed }) => [name, role, `changed ${new Date(changed).toISOString()}`]);
  io.out(rows.length === 0 ? "no users: the gateway prints a setup token when it starts\n" : `${table(rows)}\n`);
  return EXIT.ok;
}

function roleOf({ role }: How) {
  const found = roleName.safeParse(role);
  if (!found.success) throw new UsageError(`--role is one of ${ROLES.join(", ")}`);
  return found.data;
}

async function passwordFor(name: string, { io, file }: How): Promise<string> {
  if (file !== undefined) {
    const text = await readFile(resolve(io.cwd, file), "utf8").catch((error: unknown) => {
      throw new UsageError(`--password-file: ${messageOf(error)}`);
    });
    return text.split(/\r?\n/, 1)[0] ?? "";
  }
  if (!io.secretTo) {
    const text = (await io.input?.(MOST_BYTES)) ?? "";
    if (text === "")
      throw new UsageError("there is no password in stdin; write it there, or give --password-file FILE");
    return text.split(/\r?\n/, 1)[0] ?? "";
  }
  const password = await io.secretTo(`Password for ${name}: `);
  const fault = passwordFault(password, name);
  if (fault !== undefined) throw new ConfigError(fault);
  if ((await io.secretTo("Once more: ")) !== password) throw new ConfigError("the two are not the same");
  return password;
}
