import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PASSWORD } from "../support/api-client.ts";
import { seriousFindings, startBrowser } from "../support/browser.ts";
import { unpacked } from "../support/bundle.ts";
import { freePort, type Process, scratch, startGateway } from "../support/processes.ts";

/** Users, tokens and one's own account in a real browser, before a gateway in a process of its own. */
const home = scratch("dashboard-users");
const troubles: string[] = [];
/** Tokens may have any name: this one is to be a name and nothing else. */
const XSS = `<img src=x onerror="window.hit=1">"'&{}`;
const XSS_USER = `<script>window.hit=1</script>`;
const LONG = "a quite long passphrase";

let browser: Browser;
let gateway: Process;
let page: Page;
let base = "";

async function open(scheme: "light" | "dark"): Promise<Page> {
  const context = await browser.newContext({ colorScheme: scheme, viewport: { width: 1280, height: 900 } });
  const tab = await context.newPage();
  tab.setDefaultTimeout(20_000);
  tab.on("pageerror", (error) => troubles.push(error.message));
  tab.on("console", (message) => {
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      troubles.push(message.text());
  });
  return tab;
}

async function login(tab: Page, user: string, password: string): Promise<void> {
  await tab.goto(base);
  await tab.getByLabel("User name").fill(user);
  await tab.getByLabel("Password").fill(password);
  await tab.getByRole("button", { name: "Log in" }).click();
  await tab.getByRole("heading", { name: "Records per second" }).waitFor();
}

async function show(tab: Page, hash: string, heading: string): Promise<void> {
  await tab.goto(`${base}#/${hash}`);
  await tab.getByRole("heading", { name: heading, exact: true, level: 1 }).waitFor();
}

function userRow(name: RegExp) {
  return page.getByRole("region", { name: "Who may log in" }).getByRole("row", { name });
}

async function add(name: string, role: string, password: string): Promise<void> {
  await page.getByLabel("User name").fill(name);
  await page.locator("#new-role").selectOption(role);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Add", exact: true }).click();
}

/** What a program with this token is told. */
async function asked(token: string): Promise<number> {
  return (await fetch(`${base}api/v1/overview`, { headers: { Authorization: `Bearer ${token}` } })).status;
}

beforeAll(async () => {
  browser = await startBrowser();
  const http = await freePort();
  const file = join(home.path, "millrace.yaml");
  writeFileSync(
    file,
    `gateway: { id: hall-4, dataDir: ./data }
broker: { listeners: [ { port: ${await freePort()} } ] }
queue: { maxBytes: 256MiB, minFree: 16MiB }
http: { port: ${http} }
`,
  );
  gateway = await startGateway(file);
  base = `http://127.0.0.1:${http}/`;
  page = await open("light");
  await page.goto(base);
  const token = /"setupToken":"([^"]+)"/.exec(await gateway.line(/"setupToken":"/))?.[1] ?? "";
  await page.getByLabel("Setup token").fill(token);
  await page.getByLabel("User name").fill("anna");
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("Password again").fill(PASSWORD);
  await page.getByRole("button", { name: "Make the account" }).click();
  await page.getByRole("heading", { name: "Records per second" }).waitFor();
});

afterAll(async () => {
  await browser?.close();
  await gateway?.stop();
  home.remove();
});

describe("the page for users", () => {
  it("shows who there is, and does not let the only admin be another role or go", async () => {
    await show(page, "users", "Users");
    const anna = userRow(/^anna \(you\) admin .* ago 1 may log in/);
    await anna.waitFor();
    expect(await anna.getByRole("button", { name: "Remove" }).count()).toBe(0);
    await anna.getByRole("button", { name: "Change anna" }).click();
    await page.getByText("This is the only admin").waitFor();
    expect(await page.getByLabel("Role").count()).toBe(1);
    await page.getByRole("button", { name: "Close" }).click();
  });

  it("adds a user, and refuses a name that is markup and a password that is too short", async () => {
    await add(XSS_USER, "viewer", LONG);
    await page.getByRole("alert").getByText("a name has 1 to 64 letters").waitFor();
    await add("ben", "viewer", "short");
    await page.getByRole("alert").getByText("at least 12 characters").waitFor();
    await add("ben", "operator", LONG);
    await page.getByText("The user ben is added.").waitFor();
    await userRow(/^ben operator – 0 may log in/).waitFor();
  });

  it("gives another role and another password: only they let in from then on", async () => {
    const tab = await open("light");
    await login(tab, "ben", LONG);
    await tab.getByText("ben · operator").waitFor();
    await userRow(/^ben/).getByRole("button", { name: "Change ben" }).click();
    await page.locator("#changed-role").selectOption("viewer");
    await page.getByRole("button", { name: "Set role" }).click();
    await page.getByText("ben has another role.").waitFor();
    await page.getByLabel("New password").fill(`${LONG} 2`);
    await page.getByRole("button", { name: "Set password" }).click();
    await page.getByText("ben has another password.").waitFor();
    await tab.getByRole("heading", { name: "Log in to Millrace" }).waitFor();
    await tab.getByLabel("User name").fill("ben");
    await tab.getByLabel("Password").fill(LONG);
    await tab.getByRole("button", { name: "Log in" }).click();
    await tab.getByRole("alert").waitFor();
    await login(tab, "ben", `${LONG} 2`);
    await tab.getByText("ben · viewer").waitFor();
    expect(await tab.getByRole("link", { name: "Users" }).count()).toBe(0);
    await tab.goto(`${base}#/users`);
    await tab.getByText("Your role may not see this.").waitFor();
    await tab.context().close();
  });

  it("says who is locked out, and from where, and unlocks them", async () => {
    for (let attempt = 0; attempt < 5; attempt++)
      await fetch(`${base}api/v1/login`, {
        method: "POST",
        headers: { "Content-Type": "application/json", Origin: base.slice(0, -1) },
        body: JSON.stringify({ user: "ben", password: `wrong ${attempt}` }),
      });
    await page.reload();
    await userRow(/^ben .*locked from 127\.0\.0\.1 for \d+ s/).waitFor();
    await page.getByRole("button", { name: "Unlock ben" }).click();
    await page.getByText("ben may try to log in again.").waitFor();
    await userRow(/^ben .*may log in/).waitFor();
  });

  it("asks before it removes one, and goes by keyboard", async () => {
    const button = page.getByRole("button", { name: "Remove ben" });
    await button.focus();
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog", { name: "Remove the user ben?" });
    await dialog.waitFor();
    expect(await seriousFindings(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    expect(await page.evaluate(`document.activeElement.getAttribute("aria-label")`)).toBe("Remove ben");
    await page.keyboard.press("Enter");
    await dialog.getByRole("button", { name: "Remove" }).press("Enter");
    await page.getByText("The user ben is removed.").waitFor();
    await userRow(/^ben/).waitFor({ state: "detached" });
  });
});

describe("the page for tokens", () => {
  it("makes one that is shown once and lets a program in, and revokes it", async () => {
    await show(page, "tokens", "Tokens");
    await page.getByText("None yet.").waitFor();
    await page.getByLabel("Name of the program").fill(XSS);
    await page.getByLabel("Good for").selectOption("30");
    await page.getByRole("button", { name: "Make", exact: true }).click();
    const token = await page.getByLabel("Token", { exact: true }).inputValue();
    expect(token).toMatch(/^mr_/);
    expect(await asked(token)).toBe(200);
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.getByRole("button", { name: "Copy" }).click();
    await page.getByText("Copied.").waitFor();
    expect(await page.evaluate("navigator.clipboard.readText()")).toBe(token);
    await page.getByRole("button", { name: "I have it" }).click();
    const row = page.getByRole("region", { name: "Tokens of programs" }).getByRole("row").nth(1);
    expect(await row.getByRole("rowheader").textContent()).toBe(XSS);
    expect(await row.textContent()).toContain("read");
    await page.reload();
    await row.waitFor();
    expect(await page.content()).not.toContain(token);
    await row.getByRole("button", { name: /^Revoke/ }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await page.getByText("is revoked.").waitFor();
    expect(await asked(token)).toBe(401);
    await page.getByText("None yet.").waitFor();
  });

  it("demands a scope, and grants those that are chosen", async () => {
    await page.getByLabel("Name of the program").fill("historian");
    await page.getByLabel(/^read:/).uncheck();
    await page.getByRole("button", { name: "Make", exact: true }).click();
    await page.getByRole("alert").getByText("Choose at least one scope.").waitFor();
    await page.getByLabel(/^operate:/).check();
    await page.getByLabel("Good for").selectOption({ label: "until revoked" });
    await page.getByRole("button", { name: "Make", exact: true }).click();
    // It was not given what was not chosen.
    expect(await asked(await page.getByLabel("Token", { exact: true }).inputValue())).toBe(403);
    await page.getByRole("row", { name: /^historian .* operate .* until revoked/ }).waitFor();
  });
});

describe("the page for one's own account", () => {
  it("shows the own sessions, ends another one, and changes the password", async () => {
    const tab = await open("dark");
    await login(tab, "anna", PASSWORD);
    await show(page, "account", "Your account");
    const sessions = page.getByRole("region", { name: "Where you are logged in" });
    await sessions.getByRole("row", { name: /this one/ }).waitFor();
    await sessions.getByRole("button", { name: "End" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "End" }).click();
    await page.getByText("The session has ended.").waitFor();
    await tab.getByRole("heading", { name: "Log in to Millrace" }).waitFor();
    await page.getByLabel("Present password").fill(PASSWORD);
    await page.getByLabel("New password", { exact: true }).fill(LONG);
    await page.getByLabel("New password again").fill(LONG);
    await page.getByRole("button", { name: "Change password" }).click();
    await page.getByText("The password is changed").waitFor();
    await login(tab, "anna", LONG);
    await tab.context().close();
  });
});

it("gathers a support bundle, which an admin downloads from the page of the log", async () => {
  await show(page, "logs", "Log");
  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: "Gather and download" }).click();
  const download = await saved;
  expect(download.suggestedFilename()).toMatch(/^millrace-support-hall-4-\d{8}-\d{6}\.tar\.gz$/);
  const files = unpacked(readFileSync(await download.path()));
  expect(files.get("log.ndjson")).toContain("control socket listening");
  expect(JSON.parse(files.get("system.json") ?? "")).toMatchObject({ node: process.version });
  await page.getByText("Gathered. Look into it before you send it on.").waitFor();
});

it.each(["light", "dark"] as const)(
  "has no serious finding of axe-core on these pages, %s, in two languages",
  async (scheme) => {
    const tab = await open(scheme);
    await login(tab, "anna", LONG);
    for (const [hash, heading, chinese] of [
      ["users", "Users", "用户"],
      ["tokens", "Tokens", "令牌"],
      ["account", "Your account", "您的账户"],
      ["logs", "Log", "日志"],
    ] as const) {
      await show(tab, hash, heading);
      await tab.getByRole("region").first().waitFor();
      if (hash === "users") await tab.getByRole("button", { name: "Change anna" }).click();
      expect([hash, await seriousFindings(tab)]).toEqual([hash, []]);
      await tab.getByLabel("Language").selectOption("zh");
      await tab.getByRole("heading", { name: chinese, exact: true, level: 1 }).waitFor();
      await tab.getByLabel("语言").selectOption("en");
    }
    await tab.context().close();
  },
);

it("ran nothing that was a name, and had nothing to complain of", async () => {
  expect(await page.evaluate("window.hit")).toBeUndefined();
  expect(troubles).toEqual([]);
});
