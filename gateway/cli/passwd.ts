import { asCommand, type CliIo, EXIT, parseCommand, UsageError } from "./io.ts";

const HELP = `millrace passwd - a password hash for broker.users

Usage: millrace passwd            asks twice, shows nothing of what is typed
       millrace passwd < FILE     takes the first line of FILE

  -h, --help    this text

Prints the hash (scrypt, salted: another one each time) to stdout. It goes into the configuration as it is, or into a
file that the configuration names. The password itself is kept nowhere and is not an argument: arguments are seen by
everybody on the machine. Exit codes: 0 printed, 1 no usable password, 64 usage.

Example: (umask 077; millrace passwd > scanner-1.hash)
         broker: { users: [ { name: scanner-1, password: { file: scanner-1.hash }, publish: [ "plant/scan/#" ] } ] }
`;

const LEAST_CHARS = 8;
const GOOD_CHARS = 12;
const MOST_BYTES = 1024;

export interface PasswdDeps {
  readonly hash: (password: string) => Promise<string>;
}

/** `millrace passwd`. */
export function runPasswd(args: string[], io: CliIo, deps: PasswdDeps): Promise<number> {
  return asCommand("passwd", io, async () => {
    const { values, positionals } = parseCommand(args, { help: { type: "boolean", short: "h" } });
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    if (positionals.length > 0) {
      throw new UsageError("a password is not given as an argument, where everybody on the machine can see it");
    }
    const password = await passwordOf(io);
    if (password === undefined) return EXIT.no;
    const fault = faultOf(password);
    if (fault !== undefined) {
      io.err(`millrace passwd: ${fault}\n`);
      return EXIT.no;
    }
    if ([...password].length < GOOD_CHARS) io.err(`millrace passwd: ${GOOD_CHARS} characters or more are better\n`);
    io.out(`${await deps.hash(password)}\n`);
    return EXIT.ok;
  });
}

async function passwordOf(io: CliIo): Promise<string | undefined> {
  if (!io.secretTo) {
    const text = (await io.input?.(MOST_BYTES + 2)) ?? "";
    return text.split(/\r?\n/, 1)[0] ?? "";
  }
  const first = await io.secretTo("Password: ");
  if (io.signal.aborted) return undefined;
  const fault = faultOf(first);
  // Nobody types it a second time in vain.
  if (fault !== undefined) return first;
  const second = await io.secretTo("Again: ");
  if (io.signal.aborted) return undefined;
  if (first === second) return first;
  io.err("millrace passwd: both were not the same; nothing was made\n");
  return undefined;
}

function faultOf(password: string): string | undefined {
  if ([...password].length < LEAST_CHARS) return `the password needs ${LEAST_CHARS} characters or more`;
  if (Buffer.byteLength(password) > MOST_BYTES) return `the password has more than ${MOST_BYTES} bytes`;
  if (/\p{Cc}/u.test(password)) return "the password has a control character in it";
  return undefined;
}
