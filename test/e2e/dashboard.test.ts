import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PASSWORD } from "../support/api-client.ts";
import { seriousFindings, startBrowser } from "../support/browser.ts";
import { CountingPlc } from "../support/counting-plc.ts";
import {
  freePort,
  type Mosquitto,
  mosquitto,
  type Process,
  root,
  scratch,
  startGateway,
} from "../support/processes.ts";

/** The dashboard in a real browser, before a gateway in a process of its own. */
const home = scratch("dashboard");
const plc = new CountingPlc();
const figures: string[] = [];
const troubles: string[] = [];
/** Tags of the device that shows whether the page stays smooth. */
const MANY = 5_000;

let browser: Browser;
let gateway: Process;
let upstream: Mosquitto;
let context: BrowserContext;
let page: Page;
let base = "";

function config(http: number, broker: number, plcPort: number): string {
  const tags = Array.from({ length: MANY }, (_, at) => `          - { name: t${at}, type: float64, every: 1s }`);
  return `gateway: { id: hall-3, dataDir: ./data }
broker: { listeners: [ { port: ${broker} } ] }
queue: { maxBytes: 256MiB, minFree: 16MiB }
http: { port: ${http} }
links:
  - name: plc-1
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1, port: ${plcPort} }
    devices:
      - name: press-1
        unit: 1
        topic: plant/press-1
        tags:
          - { name: force, address: "holding:0", type: uint16, every: 200ms, unit: kN }
          - { name: setpoint, address: "holding:10", type: uint16, every: 200ms, writable: { min: 0, max: 300 } }
          - { name: beyond, address: "holding:900", type: uint16, every: 1s }
  - name: sim-1
    driver: simulated
    devices:
      - name: oven-1
        topic: plant/oven-1
        tags:
          - { name: temperature, type: float64, min: 180, max: 220, every: 1s, unit: "°C" }
  - name: sim-2
    driver: simulated
    devices:
      - name: many
        topic: plant/many
        tags:
${tags.join("\n")}
uplinks:
  - { name: cloud, type: mqtt, url: "mqtt://127.0.0.1:${upstream.port}", select: ["plant/press-1", "plant/oven-1"] }
`;
}

/** A tab that writes down what its console complains of. */
async function open(scheme: "light" | "dark"): Promise<{ context: BrowserContext; page: Page }> {
  const made = await browser.newContext({ colorScheme: scheme, viewport: { width: 1280, height: 900 } });
  const tab = await made.newPage();
  tab.setDefaultTimeout(20_000);
  tab.on("pageerror", (error) => troubles.push(error.message));
  tab.on("console", (message) => {
    // That nobody is logged in, or a link is down, is said by a status; a policy that is broken is said as text.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      troubles.push(message.text());
  });
  return { context: made, page: tab };
}

async function login(tab: Page): Promise<void> {
  await tab.goto(base);
  await tab.getByLabel("User name").fill("anna");
  await tab.getByLabel("Password").fill(PASSWORD);
  await tab.getByRole("button", { name: "Log in" }).click();
  await tab.getByRole("heading", { name: "Records per second" }).waitFor();
}

beforeAll(async () => {
  browser = await startBrowser();
  upstream = await mosquitto(join(home.path, "upstream"));
  const http = await freePort();
  const file = join(home.path, "millrace.yaml");
  writeFileSync(file, config(http, await freePort(), await plc.listen()));
  gateway = await startGateway(file);
  base = `http://127.0.0.1:${http}/`;
  ({ context, page } = await open("light"));
});

afterAll(async () => {
  await context?.close();
  await browser?.close();
  await gateway?.stop();
  await upstream?.stop();
  await plc.stop();
  home.remove();
  process.stdout.write(`dashboard: ${figures.join("; ")}\n`);
});

const PAGES = [
  ["overview", "", "Devices"],
  ["device", "devices/press-1", "Tags"],
  ["link", "links/plc-1", "Plan of requests"],
  ["queue", "queue", "What each uplink is owed"],
  ["uplink", "uplinks/cloud", "Limits"],
  ["log", "logs", "Last lines"],
  ["audit", "audit", "Who did what"],
  ["configuration", "config", "Apply it"],
  ["wizard", "wizard", "2. Read an address"],
] as const;

describe("the dashboard", () => {
  it("is small", () => {
    const folder = join(root, "dist", "dashboard");
    const bytes = readdirSync(folder, { recursive: true, encoding: "utf8" })
      .map((name) => join(folder, name))
      .filter((path) => statSync(path).isFile())
      .reduce((sum, path) => sum + gzipSync(readFileSync(path)).length, 0);
    figures.push(`bundle ${(bytes / 1_000).toFixed(1)} kB gzipped`);
    expect(bytes).toBeLessThan(250_000);
  });

  it("makes the first account with the setup token of the log, and with no other", async () => {
    await page.goto(base);
    await page.getByRole("heading", { name: "First start" }).waitFor();
    expect(await seriousFindings(page)).toEqual([]);
    const token = /"setupToken":"([^"]+)"/.exec(await gateway.line(/"setupToken":"/))?.[1] ?? "";
    await page.getByLabel("Setup token").fill("not-the-token");
    await page.getByLabel("User name").fill("anna");
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await page.getByLabel("Password again").fill(PASSWORD);
    await page.getByRole("button", { name: "Make the account" }).click();
    await page.getByRole("alert").waitFor();
    await page.getByLabel("Setup token").fill(token);
    await page.getByRole("button", { name: "Make the account" }).click();
    await page.getByRole("heading", { name: "Records per second" }).waitFor();
  });

  it("logs out, refuses a wrong password, and logs in", async () => {
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("User name").fill("anna");
    await page.getByLabel("Password").fill("not the password");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("alert").waitFor();
    await login(page);
    expect(page.url()).toBe(base);
  });

  it("shows the first view soon", async () => {
    const tab = await context.newPage();
    const began = performance.now();
    await tab.goto(base);
    await tab.getByRole("link", { name: "press-1" }).waitFor();
    figures.push(`first view ${Math.round(performance.now() - began)} ms`);
    await tab.close();
  });

  it.each(["light", "dark"] as const)("has no serious finding of axe-core on any page, %s", async (scheme) => {
    const tab = await open(scheme);
    await login(tab.page);
    for (const [, hash, heading] of PAGES) {
      await tab.page.goto(`${base}#/${hash}`);
      await tab.page.getByRole("heading", { name: heading, exact: true }).waitFor();
      expect([hash, await seriousFindings(tab.page)]).toEqual([hash, []]);
    }
    figures.push(`${PAGES.length} pages ${scheme}: 0 serious findings`);
    await tab.context.close();
  });

  it("shows live values, why one is bad, and writes within the limits", async () => {
    plc.registers[0] = 1_234;
    await page.goto(`${base}#/devices/press-1`);
    const table = page.getByRole("region", { name: "Tags, live" });
    await table.getByRole("row", { name: /^force 1234 kN good/ }).waitFor();
    plc.registers[0] = 4_321;
    await table.getByRole("row", { name: /^force 4321 kN good/ }).waitFor();
    await table.getByRole("row", { name: /^beyond .*bad .*address/ }).waitFor();
    await page.getByRole("img", { name: /^force in the last hour/ }).waitFor();
    await page.getByRole("button", { name: "Write setpoint" }).click();
    const form = page.locator("form.line");
    await form.getByLabel(/^New value \(0 … 300\)/).fill("301");
    await form.getByRole("button", { name: "Write" }).click();
    await page.getByRole("alert").waitFor();
    expect(plc.registers[10]).toBe(0);
    await form.getByRole("textbox").fill("42");
    await form.getByRole("button", { name: "Write" }).click();
    await page.getByText("Written. Read back: 42").waitFor();
    expect(plc.registers[10]).toBe(42);
  });

  it("says since when there are values, and cuts no source off", async () => {
    await page.goto(`${base}#/devices/press-1`);
    await page.getByText(/^Values since \d\d:\d\d:\d\d: they are not kept over a restart/).waitFor();
    const cut = await page.evaluate(
      `[...document.querySelectorAll(".source > span")].filter((one) => one.scrollWidth > one.clientWidth).length`,
    );
    expect([await page.locator(".source").count(), cut]).toEqual([3, 0]);
  });

  it("does not show an empty queue's reserve as used", async () => {
    await page.goto(`${base}#/`);
    await page.getByText(/^[\d.]+ (?:B|KiB|MiB) of 256 MiB · [\d.]+ % · 32 MiB in reserve$/).waitFor();
    await page.goto(`${base}#/queue`);
    const strip = page.locator(".strip");
    await strip.getByText("in reserve for a full disk").waitFor();
    const held = /^([\d.]+) (B|KiB|MiB)of 256 MiB$/.exec((await strip.locator("dd").nth(1).textContent()) ?? "");
    expect([held?.[2] === "MiB" ? Number(held[1]) < 32 : true, held]).toEqual([true, expect.anything()]);
  });

  it("downloads what the recorder holds", async () => {
    await page.goto(`${base}#/links/plc-1`);
    const saved = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download" }).click();
    const file = readFileSync(await (await saved).path());
    // A section header block of pcapng.
    expect(file.readUInt32LE(0)).toBe(0x0a0d0d0a);
    figures.push(`recording of ${file.length} bytes`);
  });

  it("sees the uplink go away and come back, and the backlog drain", async () => {
    await page.goto(`${base}#/`);
    const row = page.getByRole("region", { name: "Uplinks" }).getByRole("row", { name: /^cloud/ });
    await row.getByText("connected", { exact: true }).waitFor();
    await upstream.stop();
    await row.getByText("connected", { exact: true }).waitFor({ state: "detached" });
    await row.filter({ has: page.getByRole("cell", { name: /^[1-9][\d,]*$/ }) }).waitFor();
    await upstream.start();
    await row.getByText("connected", { exact: true }).waitFor({ timeout: 60_000 });
    await row.filter({ has: page.getByRole("cell", { name: "0", exact: true }) }).waitFor({ timeout: 60_000 });
  });

  it("refuses a bad configuration at its line, and shows what it changes", async () => {
    await page.goto(`${base}#/config`);
    const text = page.getByLabel("Candidate for the configuration");
    await page.getByText("no faults").waitFor();
    const before = await text.inputValue();
    const line = before.split("\n").findIndex((one) => one.includes("driver: modbus")) + 1;
    await text.focus();
    await page.evaluate(
      `{
        const area = document.querySelector("textarea");
        const end = area.value.indexOf("driver: modbus") + "driver: modbus".length;
        area.setSelectionRange(end, end);
      }`,
    );
    await page.keyboard.type("s");
    await page.getByRole("button", { name: `line ${line}, column` }).waitFor();
    await page.getByText("faults: 1").waitFor();
    expect(await page.locator(".lines .marked").allInnerTexts()).toEqual([String(line)]);
    await page.getByRole("button", { name: "Compare" }).click();
    await page.getByText("lines added: 1, removed: 1").waitFor();
    await page.getByRole("button", { name: "Undo all" }).click();
    await page.getByText("no faults").waitFor();
  });

  it("finds a unit, reads a register, and gives a line that fits the configuration", async () => {
    plc.registers[0] = 777;
    await page.goto(`${base}#/wizard`);
    await page.getByLabel("Unit ids, such as 1-10, 17").fill("1-2");
    await page.getByRole("button", { name: "Scan" }).click();
    await page.getByRole("button", { name: "Read from unit 1" }).click();
    await page.getByText(/^done: 2 of 2 asked/).waitFor();
    await page.getByLabel("What the display shows (optional)").fill("777");
    await page.getByRole("button", { name: "Read", exact: true }).last().click();
    await page.getByLabel("Name of the tag").fill("speed");
    await page
      .getByRole("button", { name: /^Copy line/ })
      .first()
      .click();
    await page.getByText(/^- \{ name: speed, address: "holding:0"/).waitFor();
  });

  it("speaks Chinese, and goes by keyboard", async () => {
    await page.goto(`${base}#/queue`);
    await page.getByLabel("Language").selectOption("zh");
    await page.getByRole("heading", { name: "队列", level: 1 }).waitFor();
    expect(await page.locator("html").getAttribute("lang")).toBe("zh-Hans");
    await page.getByLabel("语言").selectOption("en");
    await page.goto(`${base}#/uplinks/cloud`);
    await page.reload();
    await page.getByRole("heading", { name: "cloud" }).waitFor();
    await page.keyboard.press("Tab");
    await page.getByRole("link", { name: "Skip to the content" }).press("Enter");
    expect(await page.evaluate("document.activeElement.tagName")).toBe("MAIN");
  });

  it(`stays smooth with ${MANY} tags that change each second`, async () => {
    await page.goto(`${base}#/devices/many`);
    await page.getByText(`${MANY.toLocaleString("en-GB")} of ${MANY.toLocaleString("en-GB")} tags`).waitFor();
    const rows = page.locator("table.fixed tbody tr:not(.spacer)");
    await rows.first().waitFor();
    const client = await context.newCDPSession(page);
    await client.send("Performance.enable");
    const busy = async () => {
      const { metrics } = await client.send("Performance.getMetrics");
      return metrics.find(({ name }) => name === "TaskDuration")?.value ?? 0;
    };
    const before = await busy();
    const lapses: number[] = await page.evaluate(
      `new Promise((resolve) => {
        const lapses = [];
        let last = performance.now();
        const began = last;
        const step = (now) => {
          lapses.push(now - last);
          last = now;
          if (now - began < 5000) requestAnimationFrame(step);
          else resolve(lapses);
        };
        requestAnimationFrame(step);
      })`,
    );
    const share = ((await busy()) - before) / 5;
    const dropped = lapses.reduce((sum, lapse) => sum + Math.max(0, Math.round(lapse / (1_000 / 60)) - 1), 0);
    figures.push(
      `${MANY} tags: page CPU ${(share * 100).toFixed(0)} %, ${dropped} of ${dropped + lapses.length} frames dropped, ` +
        `longest ${Math.round(Math.max(...lapses))} ms, ${await rows.count()} rows in the document`,
    );
    expect(await rows.count()).toBeLessThan(80);
    const value = rows.first().locator(".value");
    const seen = await value.textContent();
    await expect.poll(async () => await value.textContent(), { timeout: 20_000 }).not.toBe(seen);
    await page.evaluate(`document.querySelector(".tall").scrollTo(0, 1e9)`);
    await page.getByRole("row", { name: new RegExp(`^t${MANY - 1} `) }).waitFor();
  });

  it("had nothing to complain of: no error of a script, nothing against the Content-Security-Policy", () => {
    expect(troubles).toEqual([]);
  });
});
