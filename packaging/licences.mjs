// Which packages of others are shipped, and under which licences.
//   node packaging/licences.mjs --check     every one has a licence that may be shipped; exit code 1 if not
//   node packaging/licences.mjs             the texts of all, from node_modules
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { argv, exit, stderr, stdout } from "node:process";
import { fileURLToPath } from "node:url";
import { readJson, root } from "./tree.mjs";

/** Licences that may be shipped beside an Apache-2.0 program; MPL-2.0 as long as its files are unchanged. */
export const allowed = new Set([
  "0BSD",
  "Apache-2.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "ISC",
  "MIT",
  "MPL-2.0",
  "Unlicense",
]);

/** Development packages that the build puts into the dashboard, and so are shipped too. */
export const bundled = ["preact", "uplot"];

const nameOf = (path) => path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);

/** What is shipped, by the lockfile: production packages, and those built into the dashboard. */
export function shipped(source) {
  const { packages } = readJson(join(source, "package-lock.json"));
  return Object.entries(packages)
    .filter(([path, entry]) => path !== "" && (!entry.dev || bundled.includes(path.replace("node_modules/", ""))))
    .map(([path, entry]) => ({
      path,
      name: nameOf(path),
      version: entry.version,
      license: entry.license ?? "",
      integrity: entry.integrity,
      optional: entry.optional === true,
      dependencies: Object.keys({ ...entry.dependencies, ...entry.optionalDependencies }),
      bundled: entry.dev === true,
    }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** "A AND B" needs both, "A OR B" one of them. */
export function mayBeShipped(expression) {
  const bare = expression.replace(/[()]/g, " ").trim();
  if (bare === "") return false;
  return bare.split(/\s+OR\s+/).some((way) => way.split(/\s+AND\s+/).every((id) => allowed.has(id.trim())));
}

export function forbidden(source) {
  return shipped(source)
    .filter((entry) => !mayBeShipped(entry.license))
    .map((entry) => `${entry.name}@${entry.version}: ${entry.license || "no licence named"}`);
}

const isText = (name) => /^(licen[cs]e|copying|notice|third-party)/i.test(name);

/** Licence files of a package; those of C and C++ libraries in its binaries too. */
function texts(folder, own = true) {
  if (!existsSync(folder)) return [];
  const found = [];
  for (const entry of readdirSync(folder).sort()) {
    const path = join(folder, entry);
    if (!statSync(path).isDirectory()) {
      if (isText(entry)) found.push([path, readFileSync(path, "utf8").trim()]);
    } else if (own && entry === "deps") found.push(...texts(path, true));
    else if (own && folder.endsWith("/deps")) found.push(...texts(path, true));
    else if (/\/deps\/[\w-]+$/.test(folder)) found.push(...texts(path, false));
  }
  return found;
}

/** The file THIRD-PARTY-LICENSES: each package with the texts it came with. */
export function licenceTexts(source, modules) {
  const parts = ["Millrace is shipped with these packages of others. Millrace itself: LICENSE (Apache-2.0).\n"];
  for (const { path, name, version, license, bundled: inPage } of shipped(source)) {
    const folder = inPage ? join(root, path) : join(modules, "..", path);
    if (!existsSync(folder)) continue;
    const own = texts(folder);
    const where = inPage ? " (built into the dashboard)" : "";
    const body = own.map(
      ([file, words]) => `${own.length > 1 ? `--- ${file.slice(folder.length + 1)}\n` : ""}${words}\n`,
    );
    const none = `(It names its licence in package.json and brings no text. Source: https://www.npmjs.com/package/${name}/v/${version})\n`;
    parts.push(`${"=".repeat(80)}\n${name} ${version}${where}: ${license}\n\n${body.length ? body.join("\n") : none}`);
  }
  return parts.join("\n");
}

function main() {
  const check = argv.includes("--check");
  const source = resolve(argv.slice(2).find((word) => !word.startsWith("--")) ?? root);
  if (!check) {
    stdout.write(licenceTexts(source, join(source, "node_modules")));
    return;
  }
  const bad = forbidden(source);
  for (const line of bad) stderr.write(`may not be shipped: ${line}\n`);
  stdout.write(`${shipped(source).length} packages are shipped, ${bad.length} with a licence that is not allowed\n`);
  exit(bad.length ? 1 : 0);
}

if (argv[1] === fileURLToPath(import.meta.url)) main();
