import { spawn } from "node:child_process";
import { once } from "node:events";
import { access, chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Logger, silentLogger } from "../../gateway/core/log.ts";
import type { Stuck } from "../../gateway/system/progress.ts";
import { SdNotify } from "../../gateway/system/sd-notify.ts";

let folder = "";
let program = "";
let said = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-notify-"));
  program = join(folder, "notify");
  said = join(folder, "said");
  await writeFile(program, `#!/bin/sh\nprintf '%s\\n' "$*" >>'${said}'\n`);
  await chmod(program, 0o755);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const words = async () => (await readFile(said, "utf8").catch(() => "")).split("\n").filter((line) => line !== "");
const PATH = process.env["PATH"];

function recording(): Logger & { lines: string[] } {
  const lines: string[] = [];
  const add = (_fields: object, message: string) => void lines.push(message);
  return { ...silentLogger, info: add, warn: add, error: add, lines };
}

describe("SdNotify", () => {
  it("does nothing without NOTIFY_SOCKET", async () => {
    const notify = new SdNotify({
      env: { PATH, WATCHDOG_USEC: "1000" },

      log: silentLogger,
      program,
    });
    notify.ready();
    notify.status("x");
    notify.stopping();
    notify.close();
    await expect(access(said)).rejects.toThrow();
  });

  it("says ready, status and stopping, each as one argument", async () => {
    const env = { PATH, NOTIFY_SOCKET: "/x" };
    const notify = new SdNotify({ env, log: silentLogger, program });
    notify.ready();
    await vi.waitFor(async () => expect(await words()).toEqual(["READY=1"]), 5_000);
    notify.status("two lines\n; rm -rf $HOME `id`");
    await vi.waitFor(async () => expect((await words())[1]).toBe("STATUS=two lines ; rm -rf $HOME `id`"), 5_000);
    notify.stopping();
    await vi.waitFor(async () => expect((await words())[2]).toBe("STOPPING=1"), 5_000);
    notify.close();
  });

  it("pings at half the watchdog's time, and not while a part is stuck", async () => {
    let stuck: readonly Stuck[] = [];
    let looks = 0;
    const look = () => {
      looks += 1;
      return stuck;
    };
    const env = { PATH, NOTIFY_SOCKET: "/x", WATCHDOG_USEC: "40000" };
    const notify = new SdNotify({ env, stuck: look, log: silentLogger, program });
    notify.ready();
    const pings = async () => (await words()).filter((line) => line === "WATCHDOG=1").length;
    await vi.waitFor(async () => expect(await pings()).toBeGreaterThan(2), 5_000);
    stuck = [{ part: "link plc-1", doing: "its supervision ended", forMs: 60_000 }];
    const seen = looks;
    await vi.waitFor(() => expect(looks).toBeGreaterThan(seen + 1), 5_000);
    // A ping that was on its way may still come, but only that one.
    const then = await pings();
    await vi.waitFor(() => expect(looks).toBeGreaterThan(seen + 12), 5_000);
    expect(await pings()).toBeLessThanOrEqual(then + 1);
    stuck = [];
    const before = await pings();
    await vi.waitFor(async () => expect(await pings()).toBeGreaterThan(before), 5_000);
    notify.close();
    notify.close();
  });

  it("asks to be killed when a part is stuck, naming it, once, and pings no more until it goes on", async () => {
    let stuck = [{ part: "uplink cloud", doing: "its uplink does not close", forMs: 12_000 }];
    let looks = 0;
    const look = () => {
      looks += 1;
      return stuck;
    };
    const env = { PATH, NOTIFY_SOCKET: "/x", WATCHDOG_USEC: "80000" };
    const notify = new SdNotify({ env, stuck: look, log: silentLogger, program });
    notify.ready();
    const triggers = async () => (await words()).filter((line) => line.includes("WATCHDOG=trigger"));
    await vi.waitFor(async () => expect(await triggers()).toHaveLength(1), 5_000);
    expect(await triggers()).toEqual([
      "STATUS=uplink cloud is stuck: its uplink does not close, for 12 s; to be started again WATCHDOG=trigger",
    ]);
    const until = looks + 20;
    await vi.waitFor(() => expect(looks).toBeGreaterThan(until), 5_000);
    expect(await triggers()).toHaveLength(1);
    expect(await words()).not.toContain("WATCHDOG=1");
    stuck = [];
    await vi.waitFor(async () => expect(await words()).toContain("WATCHDOG=1"), 5_000);
    notify.close();
  });

  it("looks after the parts where there is no systemd too, and says nothing", async () => {
    let looks = 0;
    const look = () => {
      looks += 1;
      return [{ part: "link plc-1", doing: "its supervision ended", forMs: 60_000 }];
    };
    const notify = new SdNotify({ env: { PATH }, stuck: look, log: silentLogger, program });
    notify.ready();
    await vi.waitFor(() => expect(looks).toBeGreaterThan(1), 5_000);
    notify.close();
    await expect(access(said)).rejects.toThrow();
  });

  it("logs once when systemd cannot be told, and lives on", async () => {
    const log = recording();
    const env = { PATH, NOTIFY_SOCKET: "/x", WATCHDOG_USEC: "20000" };
    let looks = 0;
    const look = () => {
      looks += 1;
      return [];
    };
    const notify = new SdNotify({ env, stuck: look, log, program: join(folder, "none") });
    notify.ready();
    await vi.waitFor(() => expect(looks).toBeGreaterThan(20), 5_000);
    notify.close();
    expect(log.lines).toEqual(["systemd could not be told"]);
  });

  it("reaches a datagram socket through the real systemd-notify where there is one", async (context) => {
    const real = await access("/usr/bin/systemd-notify").then(
      () => true,
      () => false,
    );
    if (!real) context.skip("systemd-notify is not here");
    const socket = join(folder, "socket");
    const script = `use Socket; socket(my $s, AF_UNIX, SOCK_DGRAM, 0); bind($s, sockaddr_un($ARGV[0])) or die;
      $| = 1; print "bound\\n"; while (1) { recv($s, my $m, 999, 0); print $m =~ s/\\n/ /gr, "\\n"; }`;
    const listener = spawn("perl", ["-e", script, socket], { stdio: ["ignore", "pipe", "inherit"] });
    const heard: string[] = [];
    createInterface({ input: listener.stdout }).on("line", (line) => heard.push(line));
    await vi.waitFor(() => expect(heard).toContain("bound"), 5_000);
    const notify = new SdNotify({ env: { PATH, NOTIFY_SOCKET: socket }, log: silentLogger });
    notify.ready();
    await vi.waitFor(() => expect(heard.join("|")).toContain("READY=1"), 5_000);
    notify.close();
    listener.kill();
    await once(listener, "exit");
  });
});
