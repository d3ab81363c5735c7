import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Command, commandsOf, pages } from "../docs/markdown.ts";
import { freePort, millrace, type Process, root, scratch, startGateway } from "../support/processes.ts";

/**
 * Every command of the docs that can be run is run, beside the gateway of docs/first-device.md and its meter. What needs root, a real
 * device or a server of others is marked in the page (`<!-- parsed: REASON -->`) and only parsed, by test/docs.
 */
const home = scratch("docs");
const main = join(root, "dist", "gateway", "main.js");
const running: Process[] = [];
const passed: string[] = [];
let modbus = 0;

/** Run until they are stopped; the gateway and its meter are such. */
const LASTING = new Set(["run", "simulate", "demo"]);

beforeAll(async () => {
  modbus = await freePort();
  const device = millrace(["simulate", "--profile", "eastron/sdm120", "--port", String(modbus)]);
  running.push(device);
  await device.line(/127\.0\.0\.1/);
  const guide = readFileSync(join(root, "docs", "first-device.md"), "utf8");
  const yaml = /```yaml\n([\s\S]*?)```/.exec(guide)?.[1] ?? "";
  const http = await freePort();
  const broker = await freePort();
  const text = `${yaml.replace("5020", String(modbus))}http: { port: ${http} }\nbroker: { listeners: [ { port: ${broker} } ] }\n`;
  const file = join(home.path, "millrace.yaml");
  writeFileSync(file, text);
  writeFileSync(join(home.path, "hall-3.yaml"), `${text}capture: [ { topics: ["hand/#"] } ]\n`);
  mkdirSync(join(home.path, "bin"));
  writeFileSync(join(home.path, "bin", "millrace"), `#!/bin/sh\nexec ${process.execPath} ${main} "$@"\n`, {
    mode: 0o755,
  });
  running.push(await startGateway(file));
  const made = spawnSync(
    process.execPath,
    [main, "user", "add", "first", "--role", "admin", "--password-file", "typed"],
    {
      cwd: writeTyped(),
    },
  );
  expect(made.status, made.stderr.toString()).toBe(0);
});

afterAll(async () => {
  for (const one of running.reverse()) await one.stop();
  home.remove();
});

function writeTyped(): string {
  writeFileSync(join(home.path, "typed"), "ten-minutes-12\n", { mode: 0o600 });
  return home.path;
}

/** As it stands, but for the ports, and for where the service has its configuration and its data. */
function adapted({ text }: Command): string {
  return (
    text
      .replaceAll("5020", String(modbus))
      .replaceAll("5021", "0")
      // Several pages make the same first account.
      .replace("user add anna", `user add anna-${passed.length}`)
      .replaceAll(/sudo (-u millrace )?/g, "")
      .replaceAll("/etc/millrace/millrace.yaml", "millrace.yaml")
      .replaceAll("/var/lib/millrace", "service")
      .replaceAll("audit-2026-11.ndjson", "audit.ndjson")
  );
}

it("every command of the docs that can be run is run", { timeout: 280_000 }, async () => {
  const all = commandsOf(pages());
  const left = all.filter(({ parsedOnly }) => parsedOnly !== undefined);
  const failed: string[] = [];
  for (const command of all) {
    if (command.parsedOnly !== undefined) continue;
    const [name = ""] = command.args;
    if (LASTING.has(name)) {
      if (name !== "simulate") continue;
      const one = millrace(command.args.map((word) => (/^502\d$/.test(word) ? "0" : word)));
      await one.line(/127\.0\.0\.1/);
      await one.stop();
      passed.push(command.where);
      continue;
    }
    // What a run leaves on the machine the next one would find.
    expect(adapted(command), command.where).not.toMatch(/(?:^|[\s=>])\/(?!dev\/null)/);
    const typed = command.args[0] === "user" && command.args[1] === "add" ? " --password-file typed" : "";
    const done = spawnSync("sh", ["-c", `${adapted(command)}${typed}`], {
      cwd: home.path,
      env: { ...process.env, PATH: `${join(home.path, "bin")}:${process.env["PATH"] ?? ""}` },
      input: "ten-minutes-12\n",
      timeout: 60_000,
      encoding: "utf8",
    });
    // 1 is an answer where the docs look for faults; here only learnt may have none.
    const fine = done.status === 0 || (done.status === 1 && name === "learnt");
    if (fine) passed.push(command.where);
    else
      failed.push(
        `${command.where}: ${command.text}: exit ${done.status}: ${(done.stderr + done.stdout).slice(0, 300)}`,
      );
  }
  process.stdout.write(
    `docs: ${passed.length} commands run, ${left.length} only parsed (${[...new Set(left.map(({ parsedOnly }) => parsedOnly))].join("; ")}), ` +
      `${all.length - passed.length - left.length - failed.length} lasting ones run by other suites\n`,
  );
  expect(failed).toEqual([]);
});
