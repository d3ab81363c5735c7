import { pbkdf2Sync, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect, connectAsync, type MqttClient } from "mqtt";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Authority } from "../support/authority.ts";
import {
  freePort,
  type Mosquitto,
  millrace,
  mosquitto,
  type Process,
  scratch,
  startGateway,
  until,
} from "../support/processes.ts";

/**
 * The gateway on Debian's mosquitto as it is run in plants: TLS, users, and rules on who may subscribe to what (its
 * dynamic security plugin; an acl_file grants every subscription and leaves the messages out without a word).
 */

let home: ReturnType<typeof scratch>;
let cleanup: (() => Promise<unknown> | unknown)[];
beforeEach(() => {
  home = scratch("external");
  cleanup = [() => home.remove()];
});
afterEach(async () => {
  for (const step of cleanup.reverse()) await step();
});

const USERS = { gw: "gw-secret", scanner: "scanner-secret" };

/** Who may do what, as the plugin keeps it; `plant/#` may be subscribed to, `office/#` may not. */
function security(path: string): string {
  const plugin = readdirSync("/usr/lib")
    .map((folder) => join("/usr/lib", folder, "mosquitto_dynamic_security.so"))
    .find((file) => existsSync(file));
  if (plugin === undefined)
    throw new Error("mosquitto's dynamic security plugin is not installed: apt-get install mosquitto");
  const clients = Object.entries(USERS).map(([username, password]) => {
    const salt = randomBytes(12);
    const hash = pbkdf2Sync(password, salt, 101, 64, "sha512");
    const keys = { password: hash.toString("base64"), salt: salt.toString("base64"), iterations: 101 };
    return { username, textName: "", roles: [{ rolename: "plant" }], ...keys };
  });
  const allowed = ["plant/#", "cmd/#", "line/#", "gw/status"].map((topic) => ({
    acltype: "subscribePattern",
    topic,
    priority: 0,
    allow: true,
  }));
  const defaults = { publishClientSend: true, publishClientReceive: true, subscribe: false, unsubscribe: true };
  const roles = [{ rolename: "plant", acls: allowed }];
  writeFileSync(path, JSON.stringify({ defaultACLAccess: defaults, clients, groups: [], roles }));
  return `plugin ${plugin}\nplugin_opt_config_file ${path}`;
}

interface Status {
  readonly broker: {
    readonly state: string;
    readonly alarm?: string;
    readonly captured: number;
    readonly subscriptions: readonly { readonly filter: string; readonly state: string }[];
  };
}

async function statusOf(http: number): Promise<Status | undefined> {
  const answer = await fetch(`http://127.0.0.1:${http}/status`).catch(() => undefined);
  return (await answer?.json()) as Status | undefined;
}

async function plant(): Promise<{ local: Mosquitto; tls: number; ca: string; client: MqttClient }> {
  const authority = new Authority(home.path, "plant");
  const { cert, key } = authority.issue("server", "localhost");
  const folder = join(home.path, "local");
  mkdirSync(folder);
  const tls = await freePort();
  const extra = `${security(join(folder, "security.json"))}
listener ${tls} 127.0.0.1
certfile ${cert}
keyfile ${key}`;
  const local = await mosquitto(folder, extra);
  cleanup.push(() => local.stop());
  const client = await connectAsync(`mqtt://127.0.0.1:${local.port}`, {
    username: "scanner",
    password: USERS.scanner,
    reconnectPeriod: 100,
    protocolVersion: 5,
  });
  client.on("error", () => {});
  cleanup.push(() => client.endAsync(true));
  return { local, tls, ca: authority.ca, client };
}

const config = (
  data: string,
  tls: number,
  ca: string,
  password: string,
  http: number,
) => `gateway: { id: gw, dataDir: ${data} }
http: { port: ${http} }
broker:
  external: { url: "mqtts://localhost:${tls}", username: gw, password: { file: ${password} }, tls: { ca: ${ca} } }
capture: [ { topics: ["plant/#", "office/#"], stream: events } ]
links:
  - name: sim
    driver: simulated
    devices: [ { name: sim-1, topic: line/sim-1, tags: [ { name: level, type: float64, every: 200ms } ] } ]
`;

describe("on mosquitto with TLS and rules", () => {
  it("captures, publishes live values and its status, takes commands, and tells what is refused", async () => {
    const { tls, ca, client } = await plant();
    const http = await freePort();
    const password = join(home.path, "password");
    writeFileSync(password, `${USERS.gw}\n`, { mode: 0o600 });
    const file = join(home.path, "millrace.yaml");
    writeFileSync(file, config(join(home.path, "data"), tls, ca, password, http));
    const check = millrace(["check", "-c", file]);
    expect(await check.exited, check.lines.join("\n")).toBe(0);
    expect(check.lines.join("\n")).toContain("as millrace-gw, subscribes to plant/# office/# cmd/sim-1/write");
    const heard: string[] = [];
    const answers: string[] = [];
    client.on("message", (topic, payload, { properties }) => {
      if (topic === "line/answer") answers.push(String(properties?.correlationData));
      const body = JSON.parse(payload.toString()) as Record<string, unknown>;
      if (topic !== "line/sim-1") heard.push(`${topic} ${String(body["state"] ?? body["error"])}`);
      else if (!heard.includes(topic)) heard.push(topic);
    });
    await client.subscribeAsync(["line/#", "gw/status", "cmd/+/result"], { qos: 1 });
    const gateway: Process = await startGateway(file);
    cleanup.push(() => gateway.stop("SIGKILL"));
    await until("a refusal", async () => (await statusOf(http))?.broker.alarm !== undefined, 10_000);
    const { broker } = (await statusOf(http)) ?? {};
    expect(broker?.alarm).toMatch(/^the local broker refuses the subscription office\/#: 0x8/);
    expect(broker?.subscriptions.map(({ state }) => state)).toEqual(["subscribed", "refused", "subscribed"]);

    await client.publishAsync("plant/scan", "4711", { qos: 1 });
    await client.publishAsync("plant/scan", "4712", { qos: 2 });
    await until("both are captured", async () => (await statusOf(http))?.broker.captured === 2, 10_000);
    const command = { id: "one", expires: Date.now() + 60_000, values: { level: 1 } };
    await client.publishAsync("cmd/sim-1/write", JSON.stringify(command), {
      qos: 1,
      properties: { responseTopic: "line/answer", correlationData: Buffer.from("question 1") },
    });
    await until("an answer and a value", () => heard.some((one) => one.startsWith("cmd")), 10_000);
    await until("an answer to the response topic", () => answers.includes("question 1"), 10_000);
    await until("a live value", () => heard.includes("line/sim-1"), 10_000);
    const shown = millrace(["status", "-c", file]);
    await shown.exited;
    expect(shown.lines.find((line) => line.startsWith("mqtts://localhost"))).toMatch(/connected .* 2 .*office/);
    expect(await gateway.stop("SIGTERM")).toBe(0);
    await until("goodbye", () => heard.includes("gw/status offline"), 10_000);
    expect(heard.filter((one) => !one.startsWith("line/"))).toEqual([
      "gw/status online",
      "cmd/sim-1/result nothing was written",
      "gw/status offline",
    ]);
  });

  it("puts what comes down there for its clients, kept for those that are away, and does not capture it again", async () => {
    const { tls, ca, client } = await plant();
    const up = await mosquitto(join(home.path, "up"));
    cleanup.push(() => up.stop());
    const http = await freePort();
    const password = join(home.path, "password");
    writeFileSync(password, USERS.gw, { mode: 0o600 });
    const file = join(home.path, "millrace.yaml");
    const uplinks = `uplinks:
  - name: cloud
    type: mqtt
    url: "mqtt://127.0.0.1:${up.port}"
    topic: "up/{topic}"
    accept: [ { from: "acme/plans/#", to: "plant/plans/#" } ]
`;
    writeFileSync(file, config(join(home.path, "data"), tls, ca, password, http) + uplinks);
    const line = { username: "scanner", password: USERS.scanner, clientId: "line-1", clean: false } as const;
    const session = { ...line, protocolVersion: 5, properties: { sessionExpiryInterval: 3600 } } as const;
    const url = client.options.port === undefined ? "" : `mqtt://127.0.0.1:${client.options.port}`;
    const away = await connectAsync(url, session);
    await away.subscribeAsync("plant/plans/line-1", { qos: 1 });
    await away.endAsync();
    const gateway = await startGateway(file);
    cleanup.push(() => gateway.stop("SIGKILL"));
    await gateway.line(/accepting what comes down/);
    const planner = await connectAsync(`mqtt://127.0.0.1:${up.port}`, { protocolVersion: 5 });
    cleanup.push(() => planner.endAsync(true));
    const risen: string[] = [];
    planner.on("message", (topic) => risen.push(topic));
    await planner.subscribeAsync("up/#", { qos: 1 });
    for (let n = 0; n < 20; n++) await planner.publishAsync("acme/plans/line-1", `{"plan":${n}}`, { qos: 1 });
    await client.publishAsync("plant/scan", `{"scan":1}`, { qos: 1 });
    await until("the scan upstream", () => risen.includes("up/plant/scan"), 10_000);
    const got: string[] = [];
    // Its messages may come with the CONNACK.
    const back = connect(url, session);
    back.on("message", (_, payload) => got.push(payload.toString()));
    cleanup.push(() => back.endAsync(true));
    await until("all plans at the line", () => got.length >= 20, 10_000);
    expect(got).toEqual(Array.from({ length: 20 }, (_, n) => `{"plan":${n}}`));
    expect(risen.filter((topic) => topic.startsWith("up/plant/plans"))).toEqual([]);
  }, 60_000);

  it("names a wrong password and an unknown authority, sends nothing, and goes on by itself", async () => {
    const { tls, ca } = await plant();
    const http = await freePort();
    const password = join(home.path, "password");
    writeFileSync(password, "wrong\n", { mode: 0o600 });
    const stranger = new Authority(home.path, "stranger").ca;
    const file = join(home.path, "millrace.yaml");
    for (const [authority, reason] of [
      [ca, /not authorized|bad user name/],
      [stranger, /TLS with localhost/],
    ] as const) {
      writeFileSync(file, config(join(home.path, "data"), tls, authority, password, http));
      const gateway = await startGateway(file);
      cleanup.push(() => gateway.stop("SIGKILL"));
      await until("an alarm", async () => (await statusOf(http))?.broker.alarm !== undefined, 10_000);
      expect((await statusOf(http))?.broker).toMatchObject({ state: "waiting" });
      expect((await statusOf(http))?.broker.alarm).toMatch(reason);
      expect(await gateway.stop("SIGTERM")).toBe(0);
    }
  });
});
