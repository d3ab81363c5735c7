import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { formatLocated } from "../../gateway/config/faults.ts";
import { loadConfig } from "../../gateway/config/load.ts";
import { secretReader } from "../../gateway/config/secrets.ts";
import { ConfigError } from "../../gateway/core/errors.ts";
import { faultsOf, folderWith, loadText } from "./support.ts";

const PRESS = `gateway: { id: gw-1 }
links:
  - name: plc-1
    driver: modbus
    transport: { type: tcp, host: 192.0.2.10 }
    devices:
      - name: press-1
        unit: 1
        topic: plant/{gateway}/{link}/{device}
        tags:
          - { name: temperature, address: "holding:0", type: float32, deadband: 0.5, unit: "°C", every: 1s }
          - { name: running, address: "coil:3", type: bool, every: 200ms, stream: events }
          - { name: pressure, address: "holding:2", type: uint16 }
uplinks:
  - { name: cloud, type: mqtt, url: "mqtt://192.0.2.1", username: gw, password: { env: MQTT_PASSWORD } }
`;

describe("a loaded configuration", () => {
  it("has defaults in every section", async () => {
    const folder = folderWith("gateway: { id: gw-1 }\n");
    const config = await loadConfig("millrace.yaml", { cwd: folder });
    expect(config.folder).toBe(folder);
    expect(config.gateway).toEqual({ id: "gw-1", dataDir: join(folder, "data") });
    expect(config.broker.listeners).toMatchObject([{ type: "tcp", host: "127.0.0.1", port: 1883 }]);
    expect(config.queue).toMatchObject({ maxBytes: 2 * 1024 ** 3, sync: 1000, eventsPolicy: "refuse" });
    expect(config.http).toEqual({ host: "127.0.0.1", port: 8080, hosts: [] });
    expect([config.links, config.uplinks, config.capture]).toEqual([[], [], []]);
  });

  it("has the order and the caps of each uplink, in base units", async () => {
    const { uplinks } = await loadText(`gateway: { id: gw }
uplinks:
  - { name: a, type: mqtt, url: "mqtt://192.0.2.1" }
  - { name: b, type: mqtt, url: "mqtt://192.0.2.2", order: live-first, maxRate: { messages: 80, bytes: 400KiB } }
`);
    expect(uplinks.map(({ shared: { order, maxRate } }) => ({ order, maxRate }))).toEqual([
      { order: "fifo", maxRate: {} },
      { order: "live-first", maxRate: { messages: 80, bytes: 400 * 1024 } },
    ]);
  });

  it("has devices and tags in base units, with their topic resolved", async () => {
    const config = await loadText(PRESS);
    const link = config.links[0];
    expect(link).toMatchObject({ name: "plc-1", concurrency: 1, options: { transport: { type: "tcp", port: 502 } } });
    const device = link?.devices[0];
    expect(device).toMatchObject({
      name: "press-1",
      link: "plc-1",
      topic: "plant/gw-1/plc-1/press-1",
      options: { unit: 1 },
    });
    expect(device?.tags[0]).toMatchObject({
      everyMs: 1000,
      stream: "telemetry",
      deadband: 0.5,
      unit: "°C",
      type: "float32",
    });
    expect(device?.tags[1]).toMatchObject({ everyMs: 200, stream: "events", type: "bool" });
    expect(device?.tags[2]).not.toHaveProperty("deadband");
  });

  it("has a planned scan group for each pair of period and stream", async () => {
    const config = await loadText(PRESS);
    const groups = config.links[0]?.groups ?? [];
    expect(groups.map(({ everyMs, stream, tags }) => [everyMs, stream, tags.length])).toEqual([
      [1000, "telemetry", 2],
      [200, "events", 1],
    ]);
    for (const group of groups) {
      expect(group.requests.flatMap((request) => request.tags.map(({ name }) => name)).sort()).toEqual(
        group.tags.map(({ name }) => name).sort(),
      );
    }
  });

  it("gives the position of what it came from", async () => {
    const config = await loadText(PRESS);
    expect(config.position(["links", 0, "devices", 0, "unit"])).toEqual({ line: 8, column: 15 });
    expect(config.position(["links", 0, "devices", 0, "nothing"])).toEqual({ line: 7, column: 9 });
  });

  it("takes aliases and merge keys", async () => {
    const config = await loadText(`gateway: { id: gw }
links:
  - name: line
    driver: modbus
    transport: { type: rtu, path: /dev/ttyUSB0 }
    devices:
      - &meter { name: m1, unit: 1, tags: [{ name: power, address: "input:52", type: float32 }] }
      - { <<: *meter, name: m2, unit: 2 }
`);
    expect(config.links[0]?.devices.map(({ name, topic, tags }) => [name, topic, tags.length])).toEqual([
      ["m1", "gw/m1", 1],
      ["m2", "gw/m2", 1],
    ]);
  });
});

describe("a file that is no configuration", () => {
  it.each([
    ["not there", undefined, "millrace.yaml:1:1: no such file; name one with --config FILE", true],
    [
      "not UTF-8",
      Buffer.from("gateway:\n  id: gr\xfcn\n", "latin1"),
      "millrace.yaml:2:1: not UTF-8 text; save the file as UTF-8",
      false,
    ],
    ["too big", `#${"x".repeat(5_000_000)}`, "millrace.yaml:1:1: larger than 4 MiB; is this the configuration?", false],
    [
      "only comments",
      "# nothing\n",
      "millrace.yaml:1:1: must be a mapping of sections; begin with: gateway: { id: my-gateway }",
      false,
    ],
  ])("%s", async (_name, text, message, noInput) => {
    const load = loadConfig("millrace.yaml", { cwd: folderWith(text) });
    await expect(load).rejects.toMatchObject({ name: "ConfigError", code: "MILLRACE_CONFIG", message, noInput });
  });

  it("a folder", async () => {
    await expect(loadConfig(".", { cwd: folderWith() })).rejects.toMatchObject({ noInput: true });
  });

  it("nested beyond all measure", async () => {
    const faults = await faultsOf(`gateway: ${"[".repeat(5000)}${"]".repeat(5000)}\n`);
    expect(faults.faults).toHaveLength(1);
  });
});

describe("faults", () => {
  it("come all at once, in order of position", async () => {
    const { faults } = await faultsOf("http: { port: 1 , prt: 2 }\nqueue: { maxBytes: 1 }\ngateway: { id: a b }\n");
    expect(faults.map(({ line, path }) => [line, path])).toEqual([
      [1, "http"],
      [2, "queue.maxBytes"],
      [3, "gateway.id"],
    ]);
  });

  it("name a data folder that is a file", async () => {
    const folder = folderWith("gateway: { id: gw, dataDir: taken/data }\n");
    writeFileSync(join(folder, "taken"), "");
    await expect(loadConfig("millrace.yaml", { cwd: folder })).rejects.toThrow(
      /^millrace\.yaml:1:29: gateway\.dataDir: lies below .*taken, which is not a folder; name a folder/,
    );
  });
});

describe("secrets", () => {
  const withFile = PRESS.replace("{ env: MQTT_PASSWORD }", "{ file: secret.txt }");

  it("from a variable that is not set are a warning, from one that is set are none", async () => {
    const warned = await loadText(PRESS, { env: {} });
    expect(warned.warnings.map(formatLocated)).toEqual([
      "millrace.yaml:15:81: uplinks[0].password: the environment variable MQTT_PASSWORD is not set here; set it for the gateway",
    ]);
    expect((await loadText(PRESS, { env: { MQTT_PASSWORD: "x" } })).warnings).toEqual([]);
  });

  it.each([
    ["missing", undefined, 0, "cannot be read here; create it, readable by the user the gateway runs as"],
    ["empty", "", 0o600, "is empty"],
    ["open to everybody", "hunter2\n", 0o644, "can be read by everybody; chmod 600 it"],
  ])("in a file that is %s are a warning", async (_name, content, mode, message) => {
    const folder = folderWith(withFile);
    if (content !== undefined) writeFileSync(join(folder, "secret.txt"), content);
    if (content !== undefined) chmodSync(join(folder, "secret.txt"), mode);
    const config = await loadConfig("millrace.yaml", { cwd: folder });
    expect(config.warnings.map((warning) => warning.message)).toEqual([`the secret file secret.txt ${message}`]);
  });

  it("are read anew at each call, and never show themselves", () => {
    const folder = folderWith();
    const read = secretReader(folder, { A: "hunter2" });
    writeFileSync(join(folder, "s"), "first\n");
    const secret = read({ file: "s" });
    expect(secret.reveal()).toBe("first");
    expect(`${secret} ${JSON.stringify({ secret })} ${inspect(secret)}`).not.toContain("first");
    writeFileSync(join(folder, "s"), "second\r\n");
    expect(read({ file: "s" }).reveal()).toBe("second");
    expect(read({ env: "A" }).reveal()).toBe("hunter2");
    mkdirSync(join(folder, "dir"));
    for (const ref of [{ env: "B" }, { file: "nothing" }, { file: "dir" }])
      expect(() => read(ref)).toThrow(ConfigError);
  });
});

describe("credentials of systemd", () => {
  const withCredential = PRESS.replace("{ env: MQTT_PASSWORD }", "{ credential: cloud-password }");
  const cure =
    "write LoadCredential=cloud-password:/etc/millrace/secrets/cloud-password under [Service] (systemctl edit millrace), then restart";

  it("that are not there are a warning with the line, and with what to write in the unit", async () => {
    const said = async (env: Record<string, string>) =>
      (await loadText(withCredential, { env })).warnings.map(formatLocated);
    const where = "millrace.yaml:15:81: uplinks[0].password: the credential cloud-password";
    expect(await said({})).toEqual([
      `${where} is not there: CREDENTIALS_DIRECTORY is not set, so systemd gave none; ${cure}`,
    ]);
    const folder = folderWith();
    expect(await said({ CREDENTIALS_DIRECTORY: folder })).toEqual([`${where} is not there: ${cure}`]);
    writeFileSync(join(folder, "cloud-password"), "");
    expect(await said({ CREDENTIALS_DIRECTORY: folder })).toEqual([`${where} is empty`]);
    // In a folder of systemd's own, whatever its mode says.
    writeFileSync(join(folder, "cloud-password"), "hunter2\n");
    expect(await said({ CREDENTIALS_DIRECTORY: folder })).toEqual([]);
  });

  it("are read anew at each call, and never show themselves", () => {
    const folder = folderWith();
    const ref = { credential: "cloud-password" };
    expect(() => secretReader("/nowhere", {})(ref)).toThrow(
      `the credential cloud-password is not there: CREDENTIALS_DIRECTORY is not set, so systemd gave none; ${cure}`,
    );
    const read = secretReader("/nowhere", { CREDENTIALS_DIRECTORY: folder });
    expect(() => read(ref)).toThrow(`the credential cloud-password is not there: ${cure}`);
    writeFileSync(join(folder, "cloud-password"), "first\n");
    const secret = read(ref);
    expect(secret.reveal()).toBe("first");
    expect(`${secret} ${JSON.stringify({ secret })} ${inspect(secret)}`).not.toContain("first");
    writeFileSync(join(folder, "cloud-password"), "second");
    expect(read(ref).reveal()).toBe("second");
    mkdirSync(join(folder, "a-folder"));
    expect(() => read({ credential: "a-folder" })).toThrow("the credential a-folder cannot be read");
  });
});

describe("warnings", () => {
  it("tell of certificates that are not in the folder of the configuration", async () => {
    const config = await loadText(`gateway: { id: gw }
capture: [{ topics: ["plant/scan/#"] }]
uplinks:
  - { name: a, type: mqtt, url: "mqtts://192.0.2.1", tls: { ca: certs/ca.pem } }
`);
    expect(config.warnings.map(({ path }) => path)).toEqual(["uplinks[0].tls.ca"]);
  });

  it("tell of what works but is seldom meant", async () => {
    const config = await loadText(`gateway: { id: gw }
capture: [{ topics: ["plant/scan/#"] }]
uplinks:
  - { name: a, type: mqtt, url: "mqtt://192.0.2.1", select: ["plant/+/1"] }
  - { name: b, type: mqtt, url: "mqtt://192.0.2.1", select: ["office/#"] }
`);
    expect(config.warnings.map(({ path }) => path)).toEqual(["uplinks[1].select"]);
    const idle = await loadText("gateway: { id: gw }\n");
    expect(idle.warnings.map(({ message }) => message.split(":")[0])).toEqual([
      "neither links nor capture",
      "no uplinks",
    ]);
  });
});
