import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { access, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { freePort } from "../../gateway/cli/demo/ports.ts";
import { runVerify } from "../../gateway/cli/verify.ts";
import { testIo } from "../cli/io.ts";
import { type Message, record, status } from "../verify/messages.ts";

const run = promisify(execFile);
const MOSQUITTO = "/usr/sbin/mosquitto";
let folder = "";
let port = 0;
let broker: ChildProcess;

beforeAll(async () => {
  await Promise.all([access(MOSQUITTO), run("mosquitto_pub", ["--version"]).catch(() => {})]).catch(() => {
    throw new Error("mosquitto is not here; install Debian's packages mosquitto and mosquitto-clients");
  });
  folder = await mkdtemp(join(tmpdir(), "millrace-mosquitto-"));
  port = await freePort();
  const config = join(folder, "mosquitto.conf");
  await writeFile(config, `listener ${port} 127.0.0.1\nallow_anonymous true\n`);
  broker = spawn(MOSQUITTO, ["-c", config], { stdio: "ignore" });
  await vi.waitFor(() => publish({ payload: Buffer.from("up"), properties: {} }), { timeout: 10_000, interval: 100 });
});
afterAll(async () => {
  broker.kill();
  await once(broker, "exit");
  await rm(folder, { recursive: true, force: true });
});

/** With mosquitto's own client, so that nothing of ours is on the sending side. */
async function publish(message: Message): Promise<void> {
  const properties = Object.entries(message.properties).flatMap(([key, value]) => [
    "-D",
    "publish",
    "user-property",
    key,
    value,
  ]);
  const target = ["-V", "5", "-h", "127.0.0.1", "-p", String(port), "-q", "1", "-t", "acme/x"];
  await run("mosquitto_pub", [...target, "-m", message.payload.toString(), ...properties]);
}

describe("millrace verify and mosquitto", () => {
  it("reads record ids from the user properties of MQTT 5", async () => {
    const io = testIo();
    const done = runVerify(["--url", `mqtt://127.0.0.1:${port}`, "--topic", "acme/#", "--complete"], io);
    await vi.waitFor(() => expect(io.stderr()).toContain("with MQTT 5"), 5_000);
    for (const message of [record(1, 0), record(2, 1), record(2, 1), record(5, 2), status(5, 5)])
      await publish(message);
    expect(await done).toBe(0);
    expect(io.stdout()).toContain("3 records received, 1 duplicates");
    expect(io.stdout()).toContain("5 of 5 taken by the gateway");
  });

  it("finds the same in what mosquitto_sub saved", async () => {
    const file = join(folder, "out.ndjson");
    const session = ["-V", "5", "-h", "127.0.0.1", "-p", String(port), "-q", "1", "-t", "acme/#", "-i", "saver", "-c"];
    await run("mosquitto_sub", [...session, "-x", "600", "-E"]);
    for (const message of [record(1, 0), record(2, 1), record(9, 8)]) await publish(message);
    const { stdout } = await run("mosquitto_sub", [...session, "-F", "%j", "-C", "3"]);
    await writeFile(file, stdout);
    const io = testIo();
    expect(await runVerify(["--file", file], io)).toBe(1);
    expect(io.stdout()).toContain("    3-8\n");
  });
});
