import { execFile, execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { connectAsync } from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cachedBase, DebianRoot, whyNoRoot } from "../support/debian-root.ts";
import { freePort, type Process, root, scratch, until } from "../support/processes.ts";

/**
 * The Debian package as a user has it: a fresh Debian 13, install, values from a simulated PLC, upgrade from the package of the commit
 * before, roll-back, purge. The packages for other machines are looked into.
 */
const execFileAsync = promisify(execFile);
const reason = whyNoRoot();
const home = scratch("deb");
const debian = new DebianRoot(join(home.path, "root"));
const processes: Process[] = [];
const deb = { now: "", before: "", arm64: "", armhf: "", again: "" };
const config = "/etc/millrace/millrace.yaml";
let worktree = "";

// Both builds of the same commit, whatever happens in the clone meanwhile.
const epoch = spawnSync("git", ["-C", root, "log", "-1", "--format=%ct"], { encoding: "utf8" }).stdout.trim();
let built = 0;

/** Builds into a folder of its own; the packages by architecture. */
async function build(args: readonly string[]): Promise<(arch: string) => string> {
  built += 1;
  const out = join(home.path, `out-${built}`);
  await execFileAsync(process.execPath, [join(root, "packaging", "deb.mjs"), "--out", out, ...args], {
    env: { ...process.env, SOURCE_DATE_EPOCH: epoch },
  });
  const names = readdirSync(out);
  return (arch) => join(out, names.find((name) => name.endsWith(`_${arch}.deb`)) ?? "no such package");
}

/** The package of the commit before; where the clone does not have that commit, this tree as a lower version. */
async function buildBefore(): Promise<string> {
  const tree = join(home.path, "before");
  const made = spawnSync("git", ["-C", root, "worktree", "add", "--detach", tree, "HEAD~1"], { encoding: "utf8" });
  if (made.status !== 0) {
    console.log("the commit before is not in this clone: the older package is this tree as version 0.0.9");
    return (await build(["--arch", "amd64", "--version", "0.0.9"]))("amd64");
  }
  worktree = tree;
  symlinkSync(join(root, "node_modules"), join(tree, "node_modules"));
  // Packed with today's scripts; two commits may have the same second, so the version says which is older.
  const hash = execFileSync("git", ["-C", tree, "rev-parse", "--short=8", "HEAD"], { encoding: "utf8" }).trim();
  try {
    return (await build(["--arch", "amd64", "--source", tree, "--version", `0.0.9+${hash}`]))("amd64");
  } catch (e) {
    // Its sources may need packages of another lockfile than this clone has.
    console.log(`the commit before cannot be built here: the older package is this tree as version 0.0.9\n${e}`);
    return (await build(["--arch", "amd64", "--version", "0.0.9"]))("amd64");
  }
}

const field = (file: string, name: string) =>
  execFileSync("dpkg-deb", ["--field", file, name], { encoding: "utf8" }).trim();

function install(file: string): string {
  const inside = `/srv/${basename(file)}`;
  cpSync(file, join(debian.path, inside));
  return debian.must(["dpkg", "--force-downgrade", "-i", inside]);
}

interface Ports {
  readonly plc: number;
  readonly broker: number;
  readonly away: number;
}

function configText(ports: Ports): string {
  return `# Edited by hand.
gateway: { id: cabinet-7, dataDir: /var/lib/millrace }
queue: { minFree: 16MiB }
broker: { listeners: [ { port: ${ports.broker} } ] }
links:
  - name: plc-1
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1, port: ${ports.plc} }
    devices:
      - name: press-1
        unit: 1
        topic: plant/press-1
        tags:
          - { name: oil, address: "holding:0", type: float32, every: 200ms }
          - { name: force, address: "holding:6", type: uint16, every: 200ms }
uplinks:
  - { name: cloud, type: mqtt, url: "mqtt://127.0.0.1:${ports.away}" }
`;
}

/** Starts the gateway as the package's user, waits for values at its own broker, stops it. How many came. */
async function collect(ports: Ports, wanted: number): Promise<number> {
  const gateway = debian.start(["/usr/bin/millrace", "run", "--config", config], "millrace:millrace");
  processes.push(gateway);
  await gateway.line(/"msg":"gateway started"/, 60_000);
  const client = await connectAsync(`mqtt://127.0.0.1:${ports.broker}`);
  let values = 0;
  client.on("message", (_, payload) => {
    if (typeof JSON.parse(payload.toString()).values?.oil === "number") values += 1;
  });
  try {
    await client.subscribeAsync("plant/#");
    await until(`${wanted} messages with values`, () => values >= wanted || !gateway.running, 60_000);
  } finally {
    await client.endAsync();
  }
  expect(await gateway.stop()).toBe(0);
  return values;
}

/** The records in the queue: exported, one line each. */
function records(): string[] {
  const { code, text } = debian.run(["millrace", "queue", "export", "--config", config, "--out", "/srv/export.jsonl"]);
  if (code !== 0) throw new Error(`queue export ended with ${code}:\n${text}`);
  const file = join(debian.path, "srv/export.jsonl");
  const lines = readFileSync(file, "utf8").trim().split("\n");
  debian.must(["rm", "/srv/export.jsonl"]);
  return lines;
}

const hash = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");
const everyFile = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

if (reason !== undefined) console.log(`deb: the package is not installed here: ${reason}`);

describe.skipIf(reason !== undefined)("the Debian package", () => {
  beforeAll(async () => {
    const begun = performance.now();
    cachedBase();
    const rootMade = performance.now();
    execFileSync(process.execPath, [join(root, "scripts", "ready.mjs")]);
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const [all, before, again] = await Promise.all([
      build(["--version", version]),
      buildBefore(),
      build(["--version", version, "--arch", "armhf"]),
    ]);
    Object.assign(deb, { now: all("amd64"), arm64: all("arm64"), armhf: all("armhf"), before, again: again("armhf") });
    debian.make();
    const s = (ms: number) => (ms / 1000).toFixed(1);
    console.log(`Debian 13 root ${s(rootMade - begun)} s, five packages ${s(performance.now() - rootMade)} s`);
  }, 600_000);
  afterAll(async () => {
    for (const one of processes) await one.stop("SIGKILL");
    if (worktree) execFileSync("git", ["-C", root, "worktree", "remove", "--force", worktree]);
    if (process.env["MILLRACE_KEEP"]) console.log(home.path);
    else home.remove();
  }, 120_000);

  it("is the same byte for byte when built again", () => {
    expect(hash(deb.again)).toBe(hash(deb.armhf));
  });

  it.each([
    ["amd64", 62, 64],
    ["arm64", 183, 64],
    ["armhf", 40, 32],
  ] as const)("has binaries for %s alone", (arch, machine, bits) => {
    const file = arch === "amd64" ? deb.now : deb[arch];
    expect(field(file, "Architecture")).toBe(arch);
    const tree = join(home.path, `contents-${arch}`);
    execFileSync("dpkg-deb", ["-x", file, tree]);
    const binaries = everyFile(tree).filter(
      (path) => readFileSync(path).subarray(0, 4).toString("latin1") === "\x7fELF",
    );
    expect(binaries.length).toBeGreaterThanOrEqual(2);
    for (const path of binaries) {
      const head = readFileSync(path).subarray(0, 20);
      expect([path, head.readUInt16LE(18), head[4] === 2 ? 64 : 32]).toEqual([path, machine, bits]);
    }
    for (const name of ["classic-level", "@serialport/bindings-cpp"])
      expect(binaries.some((path) => path.includes(`node_modules/${name}/prebuilds/`))).toBe(true);
    const foreign = everyFile(tree).filter((path) =>
      /prebuilds\/(android|darwin|win32)|\.musl\.|\.(dll|dylib)$/.test(path),
    );
    expect(foreign).toEqual([]);
    expect(existsSync(join(tree, "usr/lib/millrace/node_modules/zeromq"))).toBe(arch !== "armhf");
  });

  it("installs, collects, is upgraded and rolled back with its queue, and leaves nothing", async () => {
    const ports = { plc: await freePort(), broker: await freePort(), away: await freePort() };
    install(deb.before);
    expect(debian.must(["millrace", "--version"])).toMatch(/^\d+\.\d+\.\d+/);
    expect(debian.must(["stat", "-c", "%U %a", "/var/lib/millrace", config])).toBe("millrace 750\nmillrace 640\n");
    debian.must(["millrace", "check", "--config", config], "millrace:millrace");
    const wanted = "/etc/systemd/system/multi-user.target.wants/millrace.service";
    expect(debian.must(["readlink", wanted])).toContain("/lib/systemd/system/millrace.service");
    debian.must(["systemd-analyze", "verify", "--man=no", "millrace.service"]);

    // In place, so that it keeps owner and mode.
    writeFileSync(join(debian.path, config), configText(ports));
    const plc = debian.start(
      ["millrace", "simulate", "/usr/lib/millrace/examples/devices/press.yaml", "--port", String(ports.plc)],
      "nobody:nogroup",
    );
    processes.push(plc);
    await plc.line(/\d/, 30_000);
    const first = await collect(ports, 5);
    const before = records();
    expect(before.length).toBeGreaterThanOrEqual(first);

    const said = install(deb.now);
    expect(said).toContain("over (0.0.9");
    expect(debian.must(["dpkg-query", "-W", "-f", "$" + "{Version}", "millrace"])).toBe(field(deb.now, "Version"));
    const dropIn = "/usr/lib/systemd/system/millrace.service.d/serial.conf";
    expect(debian.must(["cat", dropIn])).toContain("DeviceAllow=char-ttyUSB rw");
    expect(readFileSync(join(debian.path, config), "utf8")).toBe(configText(ports));
    expect(records()).toEqual(before);
    const second = await collect(ports, 5);
    const more = records();
    expect(more.slice(0, before.length)).toEqual(before);
    expect(more.length).toBeGreaterThan(before.length);

    install(deb.before);
    expect(records()).toEqual(more);
    const third = await collect(ports, 5);
    expect(records().slice(0, more.length)).toEqual(more);
    await plc.stop();

    // Removed and installed again: both are still there. Purged: neither.
    debian.must(["dpkg", "--remove", "millrace"]);
    expect(existsSync(join(debian.path, "usr/lib/millrace"))).toBe(false);
    install(deb.now);
    expect(records().slice(0, more.length)).toEqual(more);
    debian.must(["dpkg", "--purge", "millrace"]);
    const left = debian.must([
      "find",
      "/",
      "-xdev",
      "-iname",
      "*millrace*",
      "-not",
      "-path",
      "/srv/*",
      "-not",
      "-path",
      "/proc/*",
    ]);
    expect(left).toBe("");
    expect(
      debian.run(["grep", "-rl", "millrace", "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/systemd"]).text,
    ).toBe("");
    // Purging twice is no error.
    debian.run(["dpkg", "--purge", "millrace"]);

    const size = (file: string) => `${(statSync(file).size / 1e6).toFixed(1)} MB`;
    console.log(
      `packages: amd64 ${size(deb.now)}, arm64 ${size(deb.arm64)}, armhf ${size(deb.armhf)}; messages at the local broker ` +
        `${first} before, ${second} after the upgrade, ${third} after the roll-back; records kept ${before.length}, then ${more.length}; ` +
        "left after the purge: none",
    );
  });
});
