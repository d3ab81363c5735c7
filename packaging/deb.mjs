// Builds the Debian package of one or all architectures into out/, byte for byte the same from the same commit.
//   npm run package:deb [-- --arch amd64|arm64|armhf] [--source DIR] [--version V] [--out DIR]
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { argv, env, exit, stderr, stdout } from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { licenceTexts } from "./licences.mjs";
import { architectures, build, epochOf, here, installModules, pruneModules, root, versionOf, walk } from "./tree.mjs";

const PROGRAM = "usr/lib/millrace";
const PARTS = ["dist", "schema", "examples", "profiles", "monitoring", "package.json"];

const text = (name) => readFileSync(join(here, "deb", name), "utf8");
const zip = (content) => gzipSync(content, { level: 9 });

function put(path, content, mode = 0o644) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  chmodSync(path, mode);
}

/** systemd/millrace.service with the paths of the package. */
function unitOf(source) {
  return readFileSync(join(source, "systemd", "millrace.service"), "utf8")
    .replace("file:///opt/millrace/README.md", "file:///usr/share/doc/millrace/README.md.gz")
    .replaceAll("/opt/millrace", "/usr/lib/millrace");
}

function changelog(version, epoch) {
  const date = new Date(epoch * 1000).toUTCString().replace("GMT", "+0000");
  return `millrace (${version}) unstable; urgency=medium

  * What is new: /usr/share/doc/millrace/CHANGELOG.md.gz

 -- Millrace maintainers <noreply@github.com>  ${date}
`;
}

const installed = new Map();

/** Installs once for all packages of a run, into a folder that goes with it; each package takes its copy. */
function modulesInto(source, program, optional) {
  const key = `${source} ${optional}`;
  let folder = installed.get(key);
  if (folder === undefined) {
    folder = mkdtempSync(join(tmpdir(), "millrace-modules-"));
    process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
    installModules(source, folder, { optional });
    installed.set(key, folder);
  }
  for (const part of ["node_modules", "package.json"])
    cpSync(join(folder, part), join(program, part), { recursive: true, verbatimSymlinks: true });
}

function layOut(tree, source, arch, version, epoch) {
  const program = join(tree, PROGRAM);
  mkdirSync(program, { recursive: true });
  modulesInto(source, program, architectures[arch].zeromq);
  const licences = licenceTexts(source, join(program, "node_modules"));
  pruneModules(join(program, "node_modules"), arch);
  const unwanted = /\/dist\/(\.|.*\.map$)/;
  for (const part of PARTS)
    cpSync(join(source, part), join(program, part), { recursive: true, filter: (path) => !unwanted.test(path) });

  put(join(tree, "usr/bin/millrace"), text("millrace"), 0o755);
  put(join(tree, "usr/lib/systemd/system/millrace.service"), unitOf(source));
  const dropIn = readFileSync(join(source, "systemd", "serial.conf"));
  put(join(tree, "usr/lib/systemd/system/millrace.service.d/serial.conf"), dropIn);
  put(join(tree, "usr/lib/sysusers.d/millrace.conf"), readFileSync(join(source, "systemd", "millrace.sysusers")));
  put(join(tree, "usr/lib/udev/rules.d/60-millrace.rules"), text("60-millrace.rules"));
  const docs = join(tree, "usr/share/doc/millrace");
  put(join(docs, "copyright"), text("copyright"));
  put(join(tree, "usr/share/lintian/overrides/millrace"), text("lintian-overrides"));
  put(join(docs, "changelog.gz"), zip(changelog(version, epoch)));
  put(join(docs, "THIRD-PARTY-LICENSES.gz"), zip(licences));
  for (const file of ["README.md", "CHANGELOG.md"])
    put(join(docs, `${file}.gz`), zip(readFileSync(join(source, file))));
}

/** The same modes and times wherever it is built; owners are set by dpkg-deb. */
function settle(tree, epoch) {
  const mode = (path, entry) =>
    entry.isDirectory() || readFileSync(path).subarray(0, 2).toString() === "#!" ? 0o755 : 0o644;
  for (const path of [tree, ...walk(tree)]) {
    const entry = lstatSync(path);
    if (!entry.isSymbolicLink()) chmodSync(path, mode(path, entry));
    lutimesSync(path, epoch, epoch);
  }
}

function writeControl(tree, arch, version) {
  const files = walk(tree).filter((path) => statSync(path).isFile());
  const size = files.reduce((sum, path) => sum + Math.ceil(statSync(path).size / 1024), 0);
  const sums = files.map((path) => {
    const md5 = createHash("md5").update(readFileSync(path)).digest("hex");
    return `${md5}  ${relative(tree, path)}\n`;
  });
  const values = { VERSION: version, ARCH: arch, SIZE: String(size) };
  put(
    join(tree, "DEBIAN/control"),
    text("control").replace(/@(\w+)@/g, (_, name) => values[name]),
  );
  put(join(tree, "DEBIAN/md5sums"), sums.join(""));
  for (const script of ["postinst", "prerm", "postrm"])
    copyFileSync(join(here, "deb", script), join(tree, "DEBIAN", script));
}

/** Builds one package; its path. The source must be built. */
export function buildDeb({ arch, source = root, version = versionOf(source), out = join(root, "out") }) {
  const epoch = epochOf(source);
  const stage = mkdtempSync(join(tmpdir(), "millrace-deb-"));
  try {
    const tree = join(stage, "tree");
    layOut(tree, source, arch, version, epoch);
    writeControl(tree, arch, version);
    settle(tree, epoch);
    mkdirSync(out, { recursive: true });
    const file = join(out, `millrace_${version}_${arch}.deb`);
    execFileSync("dpkg-deb", ["--root-owner-group", "-Zxz", "-z6", "--threads-max=1", "--build", tree, file], {
      stdio: ["ignore", "ignore", "inherit"],
      env: { PATH: env.PATH, SOURCE_DATE_EPOCH: String(epoch) },
    });
    return file;
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

function main() {
  const { values } = parseArgs({
    options: {
      arch: { type: "string" },
      source: { type: "string" },
      version: { type: "string" },
      out: { type: "string" },
    },
  });
  if (values.arch !== undefined && !Object.hasOwn(architectures, values.arch)) {
    stderr.write(`no architecture ${values.arch}: ${Object.keys(architectures).join(", ")}\n`);
    exit(64);
  }
  const source = resolve(values.source ?? root);
  if (!existsSync("/usr/bin/dpkg-deb")) {
    stderr.write("dpkg-deb is not here: packages are built on Debian, or with its package dpkg\n");
    exit(69);
  }
  build(source);
  for (const arch of values.arch ? [values.arch] : Object.keys(architectures)) {
    const file = buildDeb({
      arch,
      source,
      ...(values.version ? { version: values.version } : {}),
      ...(values.out ? { out: resolve(values.out) } : {}),
    });
    stdout.write(`${relative(".", file) || file}  ${(statSync(file).size / 1e6).toFixed(1)} MB\n`);
  }
}

if (argv[1] === fileURLToPath(import.meta.url)) main();
