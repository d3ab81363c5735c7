import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { CliIo } from "../../gateway/cli/io.ts";
import { testIo } from "../cli/io.ts";
import { root } from "../support/processes.ts";

/** The commands as main.ts lists them, without what they are given to work with: asked for their help they need nothing. */
export interface Listed {
  readonly name: string;
  readonly summary: string;
  readonly module: string;
  readonly run: string;
}

/** What loads the whole gateway before it looks at its options; the options are in these. */
const OPTIONS_OF: Readonly<Record<string, readonly [module: string, run: string]>> = {
  run: ["./cli/run.ts", "runRun"],
  selftest: ["./cli/selftest.ts", "runSelftest"],
};

export function listedCommands(): Listed[] {
  const source = readFileSync(join(root, "gateway", "main.ts"), "utf8");
  const table = source.slice(source.indexOf("const commands"), source.indexOf("function help()"));
  const found = [
    ...table.matchAll(
      /^ {2}(\w+): \{\s+summary: "([^"]+)",[\s\S]*?import\("(\.\/[^"]+)"\)\)\.((?:run\w+)|(?:\w+Command))\(/gm,
    ),
  ].map(([, name = "", summary = "", module = "", run = ""]) => ({ name, summary, module, run }));
  const expected = [...table.matchAll(/^ {4}summary:|\{ summary:/gm)].length;
  if (found.length !== expected) throw new Error(`${expected} commands in main.ts, ${found.length} understood`);
  return found.map((one) => {
    const [module, run] = OPTIONS_OF[one.name] ?? [one.module, one.run];
    return { ...one, module, run };
  });
}

/** Runs `millrace ARGS --help`: its options and subcommand are parsed, nothing is done. */
export async function helpOf(args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const [name = "", ...rest] = args;
  const command = listedCommands().find((one) => one.name === name);
  if (command === undefined) return { code: 64, out: "", err: `there is no command "${name}"` };
  const module: Record<string, unknown> = await import(/* @vite-ignore */ join(root, "gateway", command.module));
  const run = module[command.run];
  if (typeof run !== "function") throw new Error(`${command.module} has no ${command.run}`);
  const io: CliIo & { stdout(): string; stderr(): string } = testIo();
  const code: number = await run([...rest, "--help"], io, {});
  return { code, out: io.stdout(), err: io.stderr() };
}
