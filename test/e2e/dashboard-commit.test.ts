import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
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
  scratch,
  startGateway,
  until,
} from "../support/processes.ts";

/** A configuration that is applied from the page, on probation: it goes back by itself, is kept, and survives a kill. */
const home = scratch("commit");
const file = join(home.path, "millrace.yaml");
const plc = new CountingPlc();
/** Where pictures of the page are put, if anywhere. */
const pictures = process.env["MILLRACE_PICTURES"];
let browser: Browser;
let context: BrowserContext;
let page: Page;
let gateway: Process;
let upstream: Mosquitto;
let base = "";
let original = "";

const read = () => readFileSync(file, "utf8");
const banner = () => page.getByRole("region", { name: "Configuration on probation" });
const editor = () => page.getByLabel("Candidate for the configuration");

async function picture(name: string): Promise<void> {
  if (pictures !== undefined) await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
}

/** Opens the page anew, changes the text, and waits until it was checked. */
async function edit(change: (text: string) => string): Promise<void> {
  await page.goto(`${base}#/overview`);
  await page.goto(`${base}#/config`);
  await editor().waitFor();
  await editor().fill(change(await editor().inputValue()));
  await page.getByText("no faults").waitFor();
}

async function apply(note: string): Promise<void> {
  await page.getByLabel("Why (for the history)").fill(note);
  await page.getByLabel("Time to confirm").selectOption("30");
  await page.getByRole("button", { name: "Apply", exact: true }).click();
  await banner().getByText("it goes back unless it is confirmed").waitFor();
}

beforeAll(async () => {
  browser = await startBrowser();
  upstream = await mosquitto(join(home.path, "upstream"));
  const http = await freePort();
  original = `# the hall's gateway
gateway: { id: hall-3, dataDir: ./data }
broker: { listeners: [ { port: ${await freePort()} } ] }
queue: { maxBytes: 256MiB, minFree: 16MiB }
http: { port: ${http} }
links:
  - name: plc-1
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1, port: ${await plc.listen()} }
    devices:
      - name: press-1
        unit: 1
        topic: plant/press-1
        tags:
          - { name: force, address: "holding:0", type: uint16, every: 200ms }
uplinks:
  - name: cloud
    type: mqtt
    url: "mqtt://127.0.0.1:${upstream.port}"
    # password: s3cret-canary
`;
  writeFileSync(file, original, { mode: 0o640 });
  gateway = await startGateway(file);
  base = `http://127.0.0.1:${http}/`;
  context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const token = /"setupToken":"([^"]+)"/.exec(await gateway.line(/"setupToken":"/))?.[1] ?? "";
  await page.goto(base);
  await page.getByLabel("Setup token").fill(token);
  await page.getByLabel("User name").fill("anna");
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("Password again").fill(PASSWORD);
  await page.getByRole("button", { name: "Make the account" }).click();
  await page.getByRole("heading", { name: "Records per second" }).waitFor();
}, 60_000);

afterAll(async () => {
  await context?.close();
  await browser?.close();
  await gateway?.stop();
  await upstream?.stop();
  await plc.stop();
  home.remove();
});

describe("the editor", () => {
  const options = () => page.getByRole("listbox", { name: "What can stand here" }).getByRole("option");
  const type = (text: string) => page.keyboard.type(text, { delay: 15 });
  /** Waits until it is the one that is chosen, and takes it. */
  async function take(label: string, key = "Enter"): Promise<void> {
    const one = options().filter({ hasText: new RegExp(`^${label}`) });
    await one.first().waitFor();
    for (let n = 0; n < 40 && (await one.first().getAttribute("aria-selected")) !== "true"; n++)
      await page.keyboard.press("ArrowDown");
    await page.keyboard.press(key);
  }

  it("completes a link from the schema, by keyboard alone", async () => {
    await edit((text) => text);
    await editor().press("Control+End");
    await type("  - na");
    await take("name");
    await type("cloud-2\n    ");
    await page.keyboard.press("Control+Space");
    await take("type", "Tab");
    await take("mqtt");
    await type("\n    ur");
    await options().first().waitFor();
    expect(await page.locator(".completion .about").textContent()).toContain("mqtt://");
    expect(await seriousFindings(page)).toEqual([]);
    await picture("config-completion-light");
    await page.emulateMedia({ colorScheme: "dark" });
    expect(await seriousFindings(page)).toEqual([]);
    await picture("config-completion-dark");
    await page.emulateMedia({ colorScheme: "light" });
    await take("url");
    await type('"mqtt://127.0.0.1:1"');
    await page.getByText("no faults").waitFor();
    expect(await editor().inputValue()).toBe(
      `${original.replace("s3cret-canary", '"[secret]"')}  - name: cloud-2\n    type: mqtt\n    url: "mqtt://127.0.0.1:1"`,
    );
    // The browser's own undo goes back over what was taken.
    await page.keyboard.press("Control+z");
    expect(await editor().inputValue()).not.toContain('127.0.0.1:1"\n    url');
  });

  it("closes the list with Escape, and takes a candidate by click", async () => {
    await edit((text) => text);
    await editor().press("Control+Home");
    await page.keyboard.press("Control+Space");
    await options().first().waitFor();
    await page.keyboard.press("Escape");
    await options().first().waitFor({ state: "detached" });
    await page.keyboard.press("End");
    await type("\nte");
    await options().filter({ hasText: "telemetry" }).click();
    expect(await editor().inputValue()).toContain("# the hall's gateway\ntelemetry:\n  \ngateway:");
    expect(await page.evaluate("document.activeElement.tagName")).toBe("TEXTAREA");
  });
});

describe("the configuration, applied from the page", () => {
  it("says before what restarts, and changes nothing by that", async () => {
    const dead = await freePort();
    await edit((text) => text.replace(`:${upstream.port}"`, `:${dead}"`));
    await page.getByRole("button", { name: "What restarts?" }).click();
    await page.getByRole("row", { name: /uplink cloud\s+restart\s+url changed/ }).waitFor();
    await picture("config-plan");
    expect(read()).toBe(original);
  });

  it("commit-confirm rolling back: an uplink that leads nowhere is seen, and the file before runs again by itself", async () => {
    await apply("another broker");
    expect(read()).not.toBe(original);
    expect(read()).toContain("# password: s3cret-canary");
    await banner().getByText("Not well: uplink cloud").waitFor();
    expect(await banner().locator(".countdown").textContent()).toMatch(/^\d+ s left$/);
    expect(await seriousFindings(page)).toEqual([]);
    await picture("config-probation-light");
    await page.emulateMedia({ colorScheme: "dark" });
    expect(await seriousFindings(page)).toEqual([]);
    await picture("config-probation-dark");
    await page.emulateMedia({ colorScheme: "light" });
    await page
      .getByText(/Configuration \d+ was taken back: not confirmed, and not well: uplink cloud/)
      .waitFor({ timeout: 60_000 });
    await banner().waitFor({ state: "detached" });
    expect(read()).toBe(original);
    await page.getByRole("row", { name: /anna another broker reverted/ }).waitFor();
    await page.goto(`${base}#/uplinks/cloud`);
    await page.getByText("connected").first().waitFor();
  });

  it("is kept when it is confirmed, from any page, with the secrets of the file", async () => {
    await edit((text) =>
      text.replace(
        "every: 200ms }",
        `every: 200ms }\n          - { name: heat, address: "holding:5", type: uint16, every: 200ms }`,
      ),
    );
    expect(await editor().inputValue()).not.toContain("s3cret-canary");
    await apply("the oven's heat");
    plc.registers[5] = 77;
    await page.goto(`${base}#/devices/press-1`);
    await page.getByRole("row", { name: /^heat 77 .*good/ }).waitFor();
    await banner().getByRole("button", { name: "Keep it" }).click();
    await banner().waitFor({ state: "detached" });
    expect(read()).toContain("name: heat");
    expect(read()).toContain("# password: s3cret-canary");
  });

  it("is taken back at once on request, over a restart of all parts, and nobody is logged out", async () => {
    const kept = read();
    await edit((text) => text.replace("queue: {", `capture: [ { topics: [ "shop/#" ], stream: events } ]\nqueue: {`));
    await apply("capture the shop");
    await banner().getByRole("button", { name: "Take it back" }).click();
    await page.getByText(/was taken back: taken back by anna/).waitFor();
    expect(read()).toBe(kept);
    await page
      .getByRole("button", { name: /Show configuration/ })
      .first()
      .click();
    await page.getByRole("button", { name: /Take configuration \d+ into the editor/ }).click();
    expect(await editor().inputValue()).toContain("shop/#");
    await picture("config-history");
  });

  it("cannot be applied while it has a fault, which is shown with its line", async () => {
    await page.goto(`${base}#/overview`);
    await page.goto(`${base}#/config`);
    await editor().fill(read().replace("driver: modbus", "driver: modbuss"));
    await page.getByRole("button", { name: /^line \d+, column \d+$/ }).waitFor();
    await page.getByText("links[0].driver").waitFor();
    expect(await page.getByRole("button", { name: "Apply", exact: true }).isDisabled()).toBe(true);
  });

  it("gives way after a kill within the time", async () => {
    const kept = read();
    await edit((text) => text.replace("every: 200ms }", "every: 100ms }"));
    await apply("faster");
    expect(read()).not.toBe(kept);
    await gateway.stop("SIGKILL");
    gateway = await startGateway(file);
    expect(read()).toBe(kept);
    expect(
      gateway.lines.some((line) => /was not confirmed before the gateway ended: back to configuration/.test(line)),
    ).toBe(true);
    await until(
      "the page",
      () =>
        fetch(base).then(
          ({ ok }) => ok,
          () => false,
        ),
      10_000,
    );
  });
});
