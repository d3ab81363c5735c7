import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, expect, it } from "vitest";
import { freePort, needProgram, Process, scratch, startGateway } from "../support/processes.ts";

/**
 * The interoperability suite of Eclipse Paho for MQTT 3.1.1 against the embedded broker. It is not part of this repository:
 *   git clone https://github.com/eclipse/paho.mqtt.testing; MILLRACE_PAHO=paho.mqtt.testing npm run test:interop -- paho-suite
 */
const folder = process.env["MILLRACE_PAHO"];
const suite = resolve(folder ?? "", "interoperability");
const isThere = folder !== undefined && existsSync(join(suite, "client_test.py"));
const home = scratch("paho");
const cleanup: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const step of cleanup.reverse()) await step();
  home.remove();
});

if (!isThere)
  console.log("paho-suite: git clone https://github.com/eclipse/paho.mqtt.testing, and name it in MILLRACE_PAHO");

it.skipIf(!isThere)(
  "passes all of the interoperability suite of Eclipse Paho",
  async () => {
    const port = await freePort();
    const file = join(home.path, "millrace.yaml");
    // One topic that may not be subscribed to, and one that begins with $, are what the suite asks for.
    writeFileSync(
      file,
      `gateway: { id: paho, dataDir: ${home.path} }
broker:
  listeners: [ { port: ${port} } ]
  anonymous: { publish: [ "#", "$TopicA/#" ], subscribe: [ "#" ], deny: [ "test/nosubscribe" ] }
queue: { minFree: 16MiB }
http: { port: 0 }
`,
    );
    const gateway = await startGateway(file);
    cleanup.push(() => gateway.stop());
    // Its own options for host and port are taken by the test runner inside.
    const program = join(home.path, "client_test.py");
    writeFileSync(
      program,
      readFileSync(join(suite, "client_test.py"), "utf8").replace("port = 1883", `port = ${port}`),
    );
    const python = needProgram("python3", "python3");
    const run = new Process(python, [program], { env: { PYTHONPATH: suite } });
    const code = await Promise.race([
      run.exited,
      new Promise<string>((resolve) => setTimeout(resolve, 120_000, "slow")),
    ]);
    if (code === "slow") await run.stop("SIGKILL");
    const passed = run.lines.filter((line) => / (test|tests) succeeded$/.test(line)).length;
    console.log(JSON.stringify({ suite: "paho", passed, of: 10, code }));
    expect(run.lines.filter((line) => / failed$/.test(line))).toEqual([]);
    expect([passed, code]).toEqual([10, 0]);
  },
  150_000,
);
