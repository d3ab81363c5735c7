// Makes a fresh clone ready: installs what the lockfile pins when node_modules is missing or older than it, and builds
// when a source is newer than the last build. Does nothing, quickly, when all is in place.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const installStamp = join(root, "node_modules", ".millrace-lock");
const buildStamp = join(root, "dist", ".millrace-build");
const pageStamp = join(root, "dist", ".millrace-dashboard");
const page = join("gateway", "dashboard");

function run(what, command, args) {
  console.error(`millrace: ${what} …`);
  const done = spawnSync(command, args, { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
  if (done.status !== 0) {
    console.error(
      `millrace: "${[command, ...args].join(" ")}" failed (${done.error?.message ?? `exit code ${done.status}`})`,
    );
    process.exit(1);
  }
}

function newest(folder, except) {
  let latest = 0;
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true, recursive: true })) {
    const folderOfEntry = entry.parentPath ?? entry.path;
    if (!entry.isFile() || (except !== undefined && `${folderOfEntry}/`.startsWith(`${join(root, except)}/`))) continue;
    latest = Math.max(latest, statSync(join(folderOfEntry, entry.name)).mtimeMs);
  }
  return latest;
}

/** Installs and builds as needed. */
export function ready() {
  const lock = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  const installed = existsSync(installStamp) && readFileSync(installStamp, "utf8") === lock;
  if (!installed && lstatSync(join(root, "node_modules"), { throwIfNoEntry: false })?.isSymbolicLink()) {
    // It is somebody else's: installing would take it away from there.
    console.error("millrace: node_modules is a link and was installed from another lockfile; used as it is");
  } else if (!installed) {
    // No install scripts: every native package ships its binaries inside the registry package.
    const npm = process.env.npm_execpath;
    const args = ["ci", "--include=dev", "--ignore-scripts", "--loglevel=error"];
    if (npm?.endsWith(".js")) run("installing the packages of the lockfile", process.execPath, [npm, ...args]);
    else run("installing the packages of the lockfile", "npm", args);
    writeFileSync(installStamp, lock);
    rmSync(buildStamp, { force: true });
  }
  const sources = Math.max(
    newest("gateway", page),
    newest("drivers"),
    statSync(join(root, "tsconfig.build.json")).mtimeMs,
  );
  if (!existsSync(buildStamp) || statSync(buildStamp).mtimeMs < sources) {
    for (const made of ["gateway", "drivers", ".tsbuildinfo", ".millrace-build"])
      rmSync(join(root, "dist", made), { recursive: true, force: true });
    run("building", process.execPath, [
      join(root, "node_modules", "typescript", "bin", "tsc"),
      "-p",
      "tsconfig.build.json",
    ]);
    writeFileSync(buildStamp, "");
  }
  // The page is a build of its own: it is left alone while only the gateway changes.
  const made = Math.max(newest(page), existsSync(installStamp) ? statSync(installStamp).mtimeMs : 0);
  if (!existsSync(pageStamp) || statSync(pageStamp).mtimeMs < made) {
    run("building the dashboard", process.execPath, [
      join(root, "node_modules", "vite", "bin", "vite.js"),
      "build",
      "--config",
      join(page, "vite.config.ts"),
      page,
    ]);
    writeFileSync(pageStamp, "");
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) ready();
