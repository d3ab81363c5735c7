import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { freePort, Process, until } from "./processes.ts";

/** Debian's PostgreSQL in a folder of its own, on loopback; it does not run as root. */

const HOME = "/usr/lib/postgresql";

export interface Postgres {
  readonly url: string;
  readonly version: string;
  /** One question, over a connection of its own. */
  ask(sql: string): Promise<readonly Record<string, unknown>[]>;
  /** Ends it as a crash would, and starts it again. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export async function postgres(): Promise<Postgres> {
  const [version] = existsSync(HOME) ? readdirSync(HOME).sort().reverse() : [];
  if (version === undefined) throw new Error("PostgreSQL is missing: apt-get install postgresql");
  const bin = join(HOME, version, "bin");
  const folder = mkdtempSync(join(tmpdir(), "millrace-postgres-"));
  const isRoot = process.getuid?.() === 0;
  if (isRoot) {
    const id = (flag: string) => Number(execFileSync("id", [flag, "postgres"]).toString());
    chownSync(folder, id("-u"), id("-g"));
  }
  chmodSync(folder, 0o700);
  const port = await freePort();
  const as = (program: string, args: readonly string[]): readonly [string, readonly string[]] =>
    isRoot
      ? ["setpriv", ["--reuid=postgres", "--regid=postgres", "--clear-groups", join(bin, program), ...args]]
      : [join(bin, program), args];
  const data = join(folder, "data");
  const [init, initArgs] = as("initdb", ["-D", data, "-A", "trust", "-U", "postgres", "--locale=C.UTF-8"]);
  execFileSync(init, initArgs, { stdio: "pipe", cwd: folder });
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  const ask = async (sql: string) => {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5000 });
    client.on("error", () => {});
    await client.connect();
    try {
      const { rows } = await client.query<Record<string, unknown>>(sql);
      return rows;
    } finally {
      await client.end().catch(() => {});
    }
  };
  const start = async () => {
    const settings = ["-c", "listen_addresses=127.0.0.1", "-c", `unix_socket_directories=${folder}`];
    const [program, args] = as("postgres", ["-D", data, "-p", String(port), ...settings]);
    const started = new Process(program, args, { cwd: folder });
    const ready = () =>
      ask("SELECT 1").then(
        () => true,
        () => false,
      );
    await until("PostgreSQL", ready, 60_000);
    return started;
  };
  let server = await start();
  return {
    url,
    version,
    ask,
    async restart() {
      // Immediate: nothing is written back, and what was committed comes from its log.
      await server.stop("SIGQUIT");
      server = await start();
    },
    async stop() {
      await server.stop("SIGQUIT");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
