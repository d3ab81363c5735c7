import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Browser, chromium, type Page } from "playwright-core";
import { needProgram } from "./processes.ts";

/** Nothing that reaches out by itself: the pages are on loopback. */
const QUIET = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Debian's Chromium without a window, with a fresh profile. @throws Error that says how to get it. */
export async function startBrowser(): Promise<Browser> {
  const executablePath = needProgram("chromium", "chromium");
  return await chromium.launch({ executablePath, args: QUIET, headless: true });
}

/** What axe-core finds serious or critical on a page, each as a line. */
export async function seriousFindings(page: Page): Promise<string[]> {
  // Its script is evaluated by the debugger: the page's Content-Security-Policy stays as it is.
  await page.evaluate(axe);
  const found: { id: string; impact: string; html: string }[] = await page.evaluate(
    `axe.run().then(({ violations }) => violations.flatMap(({ id, impact, nodes }) => nodes.map(({ html }) => ({ id, impact, html }))))`,
  );
  return found
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, impact, html }) => `${impact} ${id}: ${html.slice(0, 160)}`);
}
