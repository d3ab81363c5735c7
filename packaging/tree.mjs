// What every way of packaging shares: the version and date of a source tree, and the production modules of its lockfile.
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { env } from "node:process";
import { fileURLToPath } from "node:url";

export const here = dirname(fileURLToPath(import.meta.url));
export const root = join(here, "..");

/** Debian's names, Node's, the ELF machine of each, and whether zeromq ships a binary for it. */
export const architectures = {
  amd64: { node: "x64", elf: 62, zeromq: true },
  arm64: { node: "arm64", elf: 183, zeromq: true },
  armhf: { node: "arm", elf: 40, zeromq: false },
};

export const readJson = (file) => JSON.parse(readFileSync(file, "utf8"));

function git(source, ...args) {
  const done = spawnSync("git", ["-C", source, ...args], { encoding: "utf8" });
  return done.status === 0 ? done.stdout.trim() : "";
}

/** Seconds since 1970 that every file of a package gets: SOURCE_DATE_EPOCH, else the date of the commit. */
export function epochOf(source) {
  const epoch = Number(env.SOURCE_DATE_EPOCH || git(source, "log", "-1", "--format=%ct"));
  if (Number.isSafeInteger(epoch) && epoch > 0) return epoch;
  throw new Error(`${source} is no git clone: set SOURCE_DATE_EPOCH to the date of the source, in seconds`);
}

/** The version of package.json at its tag; between tags one that sorts below it, by the date of the commit. */
export function versionOf(source) {
  const { version } = readJson(join(source, "package.json"));
  const hash = git(source, "rev-parse", "--short=8", "HEAD");
  if (hash === "" || git(source, "tag", "--points-at", "HEAD").split("\n").includes(`v${version}`)) return version;
  const stamp = new Date(epochOf(source) * 1000).toISOString().replace(/\D/g, "").slice(0, 14);
  return `${version}~git${stamp}.${hash}`;
}

/** Runs the tree's own build. */
export function build(source) {
  execFileSync(process.execPath, [join(source, "scripts", "ready.mjs")], { stdio: ["ignore", "ignore", "inherit"] });
}

/** Installs what the lockfile names for production, without running any of its scripts, into `folder`/node_modules. */
export function installModules(source, folder, { optional }) {
  mkdirSync(folder, { recursive: true });
  for (const file of ["package.json", "package-lock.json", ".npmrc"])
    if (existsSync(join(source, file))) cpSync(join(source, file), join(folder, file));
  const args = ["ci", "--omit=dev", "--ignore-scripts", "--prefer-offline", "--loglevel=error"];
  if (!optional) args.push("--omit=optional");
  const done = spawnSync("npm", args, { cwd: folder, encoding: "utf8" });
  if (done.status !== 0) throw new Error(`npm ${args.join(" ")} failed: ${done.stderr || done.error?.message}`);
}

/** Paths below `folder`, folders and files, in the same order everywhere. */
export function walk(folder) {
  const found = [];
  const names = readdirSync(folder).sort((a, b) => (a < b ? -1 : 1));
  for (const name of names) {
    const path = join(folder, name);
    found.push(path);
    const entry = statSync(path, { throwIfNoEntry: false });
    if (entry?.isDirectory()) found.push(...walk(path));
  }
  return found;
}

const NATIVE = ["classic-level", "@serialport/bindings-cpp", "zeromq"];
const SOURCES = ["deps", "src", "script", "binding.cc", "binding.gyp", "CMakeLists.txt", "vcpkg.json", "tsconfig.json"];

// Licences stay beside what they are of.
const NOT_RUN = /\.([cm]?ts|map|gyp|cc|h)$|\/(?!licen[cs]e|notice|copying)[^/]*\.(md|html)$/i;
const UNUSED =
  /\/(\.bin|\.github|\.husky|\.package-lock\.json)$|node_modules\/(@[^/]+\/)?[^/@]+\/(tests?|examples?|benchmarks?|docs|tools|\.[^/]+)$/;

/** Takes away what does not run on the target: binaries for others, sources of binaries, types, maps, links of programs. */
export function pruneModules(modules, arch) {
  const target = architectures[arch];
  for (const name of NATIVE)
    for (const part of SOURCES) rmSync(join(modules, name, part), { recursive: true, force: true });
  for (const name of ["classic-level", "@serialport/bindings-cpp"]) {
    const folder = join(modules, name, "prebuilds");
    for (const platform of readdirSync(folder))
      if (platform !== `linux-${target.node}`) rmSync(join(folder, platform), { recursive: true });
    for (const file of readdirSync(join(folder, `linux-${target.node}`)))
      if (file.includes("musl")) rmSync(join(folder, `linux-${target.node}`, file));
  }
  pruneZeroMq(join(modules, "zeromq"), target);
  for (const path of walk(modules)) {
    if (!existsSync(path)) continue;
    if (NOT_RUN.test(path) && statSync(path).isFile()) rmSync(path);
    if (UNUSED.test(path)) rmSync(path, { recursive: true, force: true });
  }
}

/** Its binaries stand under build/OS/ARCH/node/NAME, named by manifest.json. */
function pruneZeroMq(folder, target) {
  const binaries = join(folder, "build");
  if (!existsSync(binaries)) return;
  for (const os of readdirSync(binaries)) {
    const platform = join(binaries, os);
    if (!statSync(platform).isDirectory()) continue;
    for (const arch of readdirSync(platform))
      if (os !== "linux" || arch !== target.node) rmSync(join(platform, arch), { recursive: true });
    if (readdirSync(platform).length === 0) rmSync(platform, { recursive: true });
  }
  const kept = join(binaries, "linux", target.node, "node");
  // Musl is not Debian's, and what manifest.json does not name is not loaded.
  const named = new Set(Object.values(readJson(join(binaries, "manifest.json"))).map((path) => path.split("/")[3]));
  for (const name of readdirSync(kept))
    if (name.startsWith("musl") || !named.has(name)) rmSync(join(kept, name), { recursive: true });
}
