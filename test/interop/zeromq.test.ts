import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { afterAll, describe, expect, it } from "vitest";
import { curveKeyPair, Pull, Router, version } from "zeromq";
import { freePort, millrace, needProgram, Process, root, until } from "../support/processes.ts";
import { publish, UplinkRig } from "../support/uplink-rig.ts";

/**
 * The gateway's own process to the receivers of the examples: records from a local client, the receiver killed twice and the gateway
 * once in the middle, and what is in the receiver's file.
 */

const RECORDS = Number(process.env["MILLRACE_RECORDS"] ?? 10_000);
const rig = new UplinkRig("zeromq", { name: "zmq", type: "zeromq" });
const { cleanUp } = rig;
const configOf = (name: string, uplink: object) => rig.configOf(name, uplink);
const running = (file: string) => rig.running(file);
afterAll(() => rig.end());

const RECEIVERS = {
  python: () => [needProgram("python3", "python3-zmq"), join(root, "examples/zeromq/receiver.py")] as const,
  node: () => [process.execPath, join(root, "examples/zeromq/receiver.mjs")] as const,
};

function receiver(kind: keyof typeof RECEIVERS, url: string, file: string): Process {
  const [program, script] = RECEIVERS[kind]();
  const started = new Process(program, [script, url, file]);
  cleanUp.push(() => started.stop("SIGKILL"));
  return started;
}

interface Line {
  readonly key: string;
  readonly topic: string;
  readonly body: string;
}

/** Records in the receiver's file. */
function written(file: string): Line[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, "utf8").split("\n").slice(0, -1);
  return lines.map((line): Line => JSON.parse(line)).filter(({ topic }) => topic.startsWith("plant/"));
}

describe("ZeroMQ", () => {
  it.each(["python", "node"] as const)(
    "the %s receiver gets every record once, in order, through kills",
    async (kind) => {
      process.stdout.write(`zeromq.js with libzmq ${version}\n`);
      const url = `tcp://127.0.0.1:${await freePort()}`;
      const { file, local } = await configOf(kind, { url });
      const records = join(rig.path, `${kind}.jsonl`);
      const startedMs = performance.now();
      let peer = receiver(kind, url, records);
      let gateway = await running(file);
      const again = async () => {
        await peer.stop("SIGKILL");
        peer = receiver(kind, url, records);
      };
      const part = Math.floor(RECORDS / 4);
      await publish(local, 0, part);
      // In the midst of both.
      await Promise.all([publish(local, part, 2 * part), again()]);
      await publish(local, 2 * part, 3 * part);
      await gateway.stop("SIGKILL");
      gateway = await running(file);
      await Promise.all([publish(local, 3 * part, RECORDS), again()]);
      await until(`${RECORDS} records in ${records}`, () => written(records).length >= RECORDS, 300_000);
      const seconds = (performance.now() - startedMs) / 1000;
      expect(await gateway.stop()).toBe(0);
      await peer.stop("SIGKILL");

      const got = written(records);
      const missing = RECORDS - new Set(got.map(({ body }) => body)).size;
      expect(missing).toBe(0);
      expect(got.length).toBe(RECORDS);
      const last = new Map<string, number>();
      for (const { topic, body } of got) {
        expect(Number(body)).toBeGreaterThan(last.get(topic) ?? -1);
        last.set(topic, Number(body));
      }
      process.stdout.write(
        `zeromq ${kind}: ${RECORDS} records, missing ${missing}, twice in the file 0, in order per topic, ${seconds.toFixed(0)} s\n`,
      );
    },
    600_000,
  );

  it("that is away, of another kind, behind CURVE, silent, or loses: each says what to do", async () => {
    const pull = new Pull({ linger: 0 });
    const curve = new Router({ linger: 0, curveServer: true, curveSecretKey: curveKeyPair().secretKey });
    const silent = new Router({ linger: 0 });
    for (const socket of [pull, curve, silent]) {
      await socket.bind("tcp://127.0.0.1:*");
      cleanUp.push(() => socket.close());
    }
    const at = ({ lastEndpoint }: { lastEndpoint: string | null }) => ({ url: lastEndpoint ?? "" });
    const cases: [string, object, RegExp][] = [
      ["away", { url: `tcp://127.0.0.1:${await freePort()}` }, /nobody answers there/],
      ["kind", at(pull), /not a ROUTER socket that is bound/],
      ["curve", at(curve), /asks for CURVE; give curve.serverKey/],
      ["silent", { ...at(silent), ackTimeout: "500ms" }, /connected, but answers nothing; look at it/],
      ["oversize", { ...at(silent), maxMessage: "256B" }, /dead letter/i],
      ["push", { ...at(pull), pattern: "push" }, /pattern push is lossy.*use dealer/],
    ];
    for (const [name, options, text] of cases) {
      const { file, local, http } = await configOf(name, options);
      const gateway = await running(file);
      const client = await connectAsync(`mqtt://127.0.0.1:${local}`, { reconnectPeriod: 0 });
      await client.publishAsync("plant/line-0", "x".repeat(300), { qos: 1 });
      await client.endAsync();
      let shown = "";
      const status = async () => {
        const told = millrace(["status", "--url", `http://127.0.0.1:${http}`]);
        await told.exited;
        shown = told.lines.join("\n");
        return text.test(shown);
      };
      await until(`${name}: ${text}`, status, 30_000).catch((error) => {
        throw new Error(`${error}; status says: ${shown}; the log: ${gateway.lines.slice(-5).join("\n")}`);
      });
      expect(await gateway.stop()).toBe(0);
    }
    const checked = millrace([
      "check",
      "-c",
      (await configOf("open", { url: "tcp://10.1.2.3:1", pattern: "pub" })).file,
    ]);
    await checked.exited;
    expect(checked.lines.join("\n")).toMatch(/can be read and forged on the way; use curve/);
    expect(checked.lines.join("\n")).toMatch(/pattern pub is lossy/);
    process.stdout.write(`zeromq: told with its cure: ${cases.map(([name]) => name).join(", ")}\n`);
  }, 180_000);
});
