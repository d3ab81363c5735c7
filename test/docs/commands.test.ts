import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { root } from "../support/processes.ts";
import { expectFresh, NOTE } from "./fresh.ts";
import { commandsOf, pages, parsePage } from "./markdown.ts";
import { helpOf, listedCommands } from "./program.ts";

/** Words behind a command that name what it does. */
const VERBS = new Set(["queue", "user", "audit", "profile", "selftest"]);

it("every command in the docs is one of the program, with options it knows", { timeout: 60_000 }, async () => {
  const commands = commandsOf(pages());
  expect(commands.length).toBeGreaterThan(40);
  const wrong: string[] = [];
  for (const { where, args, text } of commands) {
    if (args[0]?.startsWith("--")) continue;
    const { code, out, err } = await helpOf(args);
    const [name = "", verb = ""] = args;
    if (code !== 0) wrong.push(`${where}: ${text}: ${err.split("\n")[0]}`);
    else if (VERBS.has(name) && verb !== "" && !verb.startsWith("-") && !out.includes(verb))
      wrong.push(`${where}: ${text}: "millrace ${name}" has no "${verb}"`);
  }
  expect(wrong).toEqual([]);
});

it("an option or a command that is not there is noticed", async () => {
  const text = "# p\n\n```sh\nmillrace check --plam\nsudo -u millrace millrace chekc  # no\n```\n";
  const [plam, chekc] = commandsOf([parsePage("p.md", text)]);
  expect(await helpOf(plam?.args ?? [])).toMatchObject({ code: 64 });
  expect(await helpOf(chekc?.args ?? [])).toMatchObject({ code: 64 });
});

it("README names every command", () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  for (const { name } of listedCommands()) expect(readme, name).toContain(`millrace ${name}`);
});

const fenced = (text: string) => `\`\`\`text\n${text.trimEnd()}\n\`\`\`\n`;

it("docs/cli.md is what the program says", async () => {
  const listed = listedCommands();
  const parts = [
    "# Commands\n",
    NOTE("the help texts of the program"),
    "What each command says with `--help`.\n",
    `| command | for |\n| --- | --- |\n${listed.map(({ name, summary }) => `| [\`millrace ${name}\`](#millrace-${name}) | ${summary} |`).join("\n")}\n`,
  ];
  for (const { name } of listed) {
    const { out, code } = await helpOf([name]);
    expect(code, name).toBe(0);
    parts.push(`## millrace ${name}\n`, fenced(out));
    if (name !== "queue") continue;
    for (const verb of ["stats", "peek", "export", "dead-letters", "forget", "backup", "restore", "reset"])
      parts.push(`### millrace queue ${verb}\n`, fenced((await helpOf([name, verb])).out));
  }
  expectFresh("cli.md", parts.join("\n"));
});
