import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Block, type Command, commandsOf, parsePage } from "../docs/markdown.ts";
import { startBrowser } from "../support/browser.ts";
import { freePort, needProgram, Process, root, scratch } from "../support/processes.ts";

/**
 * docs/first-device.md, followed as it stands, in an empty folder, with the program as npm installs it. Only ports are others: those
 * of the guide may be taken. UPDATE_PICTURES=1 takes its pictures anew.
 */
const home = scratch("ten-minutes");
const page = parsePage("docs/first-device.md", readFileSync(join(root, "docs", "first-device.md"), "utf8"));
const commands = commandsOf([page]);
const program = join(home.path, "prefix", "bin", "millrace");
const work = join(home.path, "empty");
const running: Process[] = [];
const seconds: string[] = [];
let meter: Process | undefined;
let ports: Record<"modbus" | "http" | "broker", number>;

beforeAll(async () => {
  mkdirSync(work);
  ports = { modbus: await freePort(), http: await freePort(), broker: await freePort() };
});
afterAll(async () => {
  for (const one of running.reverse()) await one.stop();
  home.remove();
  process.stdout.write(`ten minutes: ${seconds.join("; ")}\n`);
});

/** The command of the guide that begins so, with the ports of this run. */
function commandLike(start: string): Command & { readonly here: string[] } {
  const found = commands.find(({ args }) => args.join(" ").startsWith(start));
  if (found === undefined) throw new Error(`the guide has no "millrace ${start}"`);
  return { ...found, here: found.args.map((word) => word.replace("5020", String(ports.modbus))) };
}

function spawn(start: string, more: readonly string[] = []): Process {
  const made = new Process(program, [...commandLike(start).here, ...more], {
    cwd: work,
    stdin: true,
    env: { HOME: work },
  });
  running.push(made);
  return made;
}

async function says(start: string, pattern: RegExp, more: readonly string[] = []): Promise<string> {
  const made = spawn(start, more);
  made.child.stdin?.end();
  const code = await made.exited;
  const text = made.lines.join("\n");
  expect(code, `millrace ${start}: ${text}`).toBe(0);
  expect(text).toMatch(pattern);
  return text;
}

async function step(name: string, does: () => Promise<void>): Promise<void> {
  const began = performance.now();
  await does();
  seconds.push(`${name} ${((performance.now() - began) / 1000).toFixed(1)} s`);
}

const blockWith = (text: string): Block => {
  const found = page.blocks.find((block) => block.text.includes(text));
  if (found === undefined) throw new Error(`the guide has no block with ${text}`);
  return found;
};

it("leads from an empty folder to values in the browser", { timeout: 280_000 }, async () => {
  const began = performance.now();
  await step("install", async () => {
    await Promise.resolve();
    expect(blockWith("npm pack").text).toContain("npm install --global ./millrace-*.tgz");
    execFileSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", home.path], {
      cwd: root,
      stdio: "pipe",
    });
    execFileSync(
      "sh",
      [
        "-c",
        `npm install --global --ignore-scripts --no-audit --no-fund --silent --prefix "$1" "$2"/millrace-*.tgz`,
        "sh",
        join(home.path, "prefix"),
        home.path,
      ],
      { stdio: "pipe" },
    );
    expect(existsSync(program)).toBe(true);
  });
  await step("device", async () => {
    meter = spawn("simulate");
    await meter.line(/127\.0\.0\.1/);
  });
  await step("scan, read, guess", async () => {
    await says("scan", /\b1\b/);
    await says("read input:0", /2[0-9]{2}/);
    await says("guess", /float32/);
  });
  await step("configuration", async () => {
    const text = blockWith("gateway: { id: hall-1").text.replace("5020", String(ports.modbus));
    writeFileSync(
      join(work, "millrace.yaml"),
      `${text}http: { port: ${ports.http} }\nbroker: { listeners: [ { port: ${ports.broker} } ] }\n`,
    );
    await says("check", /meter-1/);
  });
  await step("run", async () => {
    await spawn("run").line(/"msg":"gateway started"/, 30_000);
    await says("status", /healthy/);
    await says("read meter-1", /voltage/);
    // Any MQTT client, the guide says, and names this one.
    expect(blockWith("mosquitto_sub").text.trim()).toBe("mosquitto_sub -t 'plant/#' -v");
    const words = ["-p", String(ports.broker), "-t", "plant/#", "-v", "-C", "1", "-W", "20"];
    expect(execFileSync(needProgram("mosquitto_sub", "mosquitto-clients"), words, { encoding: "utf8" })).toMatch(
      /^plant\/hall-1\/meter-1 \{"ts":\d+,"values":\{.*"voltage":2\d\d/,
    );
  });
  await step("account, browser, plug", async () => {
    // What a person types when asked comes from a file here: there is no terminal.
    const typed = commandLike("user add").block.marks.get("typed") ?? "";
    writeFileSync(join(work, "typed"), `${typed}\n`, { mode: 0o600 });
    await says("user add", /anna/, ["--password-file", "typed"]);
    await browse(typed);
  });
  const minutes = (performance.now() - began) / 60_000;
  seconds.push(`in all ${(minutes * 60).toFixed(0)} s`);
  expect(minutes).toBeLessThan(10);
});

async function browse(password: string): Promise<void> {
  const browser = await startBrowser();
  try {
    const tab = await browser.newPage({ viewport: { width: 1180, height: 980 } });
    tab.setDefaultTimeout(20_000);
    await tab.goto(`http://127.0.0.1:${ports.http}/`);
    await tab.getByLabel("User name").fill("anna");
    await tab.getByLabel("Password").fill(password);
    await tab.getByRole("button", { name: "Log in" }).click();
    await tab.getByRole("heading", { name: "Records per second" }).waitFor();
    await tab.getByText("meter-1").first().waitFor();
    const picture = async (name: string) => {
      if (process.env["UPDATE_PICTURES"] === "1")
        await tab.screenshot({ path: join(root, "docs", `first-device-${name}.png`) });
    };
    await tab.waitForTimeout(process.env["UPDATE_PICTURES"] === "1" ? 8000 : 0);
    await picture("overview");
    await tab.getByRole("link", { name: "meter-1" }).first().click();
    await tab.getByText("voltage").first().waitFor();
    await tab.waitForTimeout(process.env["UPDATE_PICTURES"] === "1" ? 4000 : 0);
    await picture("device");
    const row = (state: RegExp) => tab.getByRole("row", { name: state }).first().waitFor({ timeout: 60_000 });
    await row(/^voltage .*good/);
    await meter?.stop();
    await row(/^voltage .*bad .*link down/);
    await spawn("simulate").line(/127\.0\.0\.1/);
    await row(/^voltage .*good/);
  } finally {
    await browser.close();
  }
}
