import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { connect } from "node:tls";
import { connectAsync } from "mqtt";
import { afterAll, describe, expect, it, vi } from "vitest";
import { verifyFolder } from "../../gateway/audit/verify.ts";
import { runStatus } from "../../gateway/cli/status.ts";
import { runSupport } from "../../gateway/cli/support.ts";
import { supportTools } from "../../gateway/support-tools.ts";
import { testIo } from "../cli/io.ts";
import { Client, PASSWORD } from "../support/api-client.ts";
import { type Plant, startPlant } from "../support/api-plant.ts";
import { Authority } from "../support/authority.ts";
import { unpacked } from "../support/bundle.ts";
import { freePort, millrace, scratch, startGateway, until } from "../support/processes.ts";

/** The API's security on whole gateways. */
const home = scratch("http-security");
const cleanup: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const step of cleanup.reverse()) await step();
  home.remove();
});

const figures: string[] = [];
afterAll(() => process.stdout.write(`http security: ${figures.join("; ")}\n`));

const XSS = [
  "<script>alert(1)</script>",
  "'\"><img src=x onerror=alert(1)>",
  "</title><svg/onload=alert(1)>",
  "javascript:alert(document.domain)",
];

/** The files of a bundle that `millrace support` makes of a running gateway, and of one that is downloaded. */
async function bundlesOf({ folder, port }: Plant, { cookie }: Client): Promise<[string, string][]> {
  const io = testIo({ cwd: folder, nodeVersion: process.version });
  expect(await runSupport(["--output", "bundle.tar.gz"], io, supportTools)).toBe(0);
  expect(io.stderr()).not.toContain("No running gateway");
  const url = `http://127.0.0.1:${port}/api/v1/support`;
  const response = await fetch(url, { headers: { cookie } });
  expect(response.headers.get("content-disposition")).toMatch(/"millrace-support-gw-1-\d{8}-\d{6}\.tar\.gz"/);
  const downloaded = new Uint8Array(await response.arrayBuffer());
  return [readFileSync(join(folder, "bundle.tar.gz")), downloaded].flatMap((bytes) => [...unpacked(bytes)]);
}

/** What is answered to every question that changes nothing. */
async function everyAnswer(admin: Client): Promise<[string, string][]> {
  const { paths } = Object((await admin.ask("/api/v1/openapi.json")).json);
  const urls = Object.keys(paths)
    .filter((path) => "get" in paths[path] && !path.endsWith("/events"))
    .map((path) => {
      const thing = path.includes("/links/") ? "plc-1" : path.includes("/uplinks/") ? "cloud" : "press-1";
      return path
        .replace("{name}", thing)
        .replace("{tag}", "force")
        .replaceAll(/\{\w+\}/g, "x");
    });
  urls.push("/status", "/plan", "/healthz", "/readyz", "/metrics");
  const texts: [string, string][] = [];
  for (const url of urls) texts.push([url, (await admin.ask(url)).text]);
  return texts;
}

describe("a secret", () => {
  it("is found nowhere: API, metrics, log, audit trail, state", async () => {
    const env = { MQTT_PASSWORD: "canary-mqtt-7Q4Z", OTHER: "canary-other-7Q4Z" };
    const plant = await startPlant({ env, more: "# an old one: password: canary-comment-7Q4Z\n" });
    cleanup.push(() => plant.stop());
    const admin = plant.client();
    await admin.setup(plant.setupToken, "anna");
    const word = "canary-password-7Q4Z";
    await admin.ask("/api/v1/users", { body: { name: "ben", role: "admin", password: word } });
    const made = await admin.ask("/api/v1/tokens", { body: { name: "scada", scopes: ["read"] } });
    const token = String(made.json["token"]);
    const ben = plant.client();
    await ben.login("ben", word);
    await ben.login(word, word);
    await ben.ask("/api/v1/overview", { headers: { authorization: `Bearer ${token}x` } });
    await ben.ask(`/api/v1/overview?token=${token}`);
    await ben.ask("/api/v1/login", { raw: `{"user":"ben","password":"${word}` });
    const texts = await everyAnswer(admin);
    texts.push(["metrics", await plant.metrics()]);
    texts.push([
      "log",
      plant
        .log()
        .split("\n")
        .filter((line) => !line.includes("no accounts yet"))
        .join("\n"),
    ]);
    const bundled = await bundlesOf(plant, admin);
    const pieces = ["audit.ndjson", "check.json", "data-folder.txt", "learnt.json", "log.ndjson", "metrics.txt"];
    pieces.push("millrace.yaml", "queue.json", "README.txt", "requests.json", "status.json", "system.json");
    expect(new Set(bundled.map(([name]) => name))).toEqual(new Set(pieces));
    expect(bundled.length).toBe(2 * pieces.length);
    texts.push(...bundled.map(([name, text]): [string, string] => [`bundle: ${name}`, text]));
    const state = join(plant.folder, "data", "state");
    for (const file of readdirSync(state, { recursive: true, withFileTypes: true })) {
      if (file.isFile()) texts.push([file.name, readFileSync(join(file.parentPath, file.name), "latin1")]);
    }
    const secrets = [env.MQTT_PASSWORD, env.OTHER, "canary-comment-7Q4Z", word, PASSWORD, plant.setupToken, token];
    secrets.push(ben.cookie.split("=")[1] ?? "", ben.csrf, admin.cookie.split("=")[1] ?? "");
    const found = texts.flatMap(([where, text]) => secrets.filter((secret) => text.includes(secret)).map(() => where));
    expect(found).toEqual([]);
    expect(texts.length).toBeGreaterThan(25);
    expect(plant.log()).toContain(plant.setupToken);
    figures.push(`${secrets.length} secrets in ${texts.length} places: ${found.length} found`);
  });
});

describe("texts of strangers", () => {
  it("in topic, client id, payload, tag, name and log come back as they are, in JSON only", async () => {
    const plant = await startPlant({
      topic: "plant/<script>alert(1)</script>",
      more: 'capture: [ { topics: ["scan/#"], stream: events } ]\n',
    });
    cleanup.push(() => plant.stop());
    const broker = Object(plant.gateway.summary()["broker"])[0];
    for (const text of XSS) {
      const client = await connectAsync(`mqtt://127.0.0.1:${broker.port}`, { clientId: text });
      await client.publishAsync(`scan/${text.replaceAll("/", "_")}`, text, { qos: 1 });
      await client.endAsync();
    }
    const admin = plant.client();
    await admin.setup(plant.setupToken, "anna");
    for (const text of XSS) await plant.client().login(text, text);
    let seen = 0;
    const urls = [
      "/queue/records?stream=events",
      "/overview",
      "/devices/press-1",
      "/logs",
      "/audit",
      "/links/plc-1",
      "/config",
    ];
    for (const url of urls) {
      const { headers, text, json } = await admin.ask(`/api/v1${url}`);
      expect(headers["content-type"]).toBe("application/json; charset=utf-8");
      expect(headers["x-content-type-options"]).toBe("nosniff");
      expect(json).not.toEqual({});
      if (/<script>|onerror|onload|javascript:/.test(text)) seen++;
    }
    const records = JSON.stringify((await admin.ask("/api/v1/queue/records?stream=events")).json);
    for (const text of XSS) expect(records).toContain(JSON.stringify(text).slice(1, -1));
    expect(seen).toBeGreaterThanOrEqual(4);
    figures.push(`${XSS.length} texts in ${urls.length} answers: JSON only`);
  });
});

describe("TLS", () => {
  it("is what other machines get: 1.2 at least, a cookie for this host only; status goes by the control socket", async () => {
    const authority = new Authority(home.path, "plant-ca");
    const { cert, key } = authority.issue("gateway", "localhost");
    const plant = await startPlant({
      http: `{ port: 0, host: 0.0.0.0, hosts: [localhost], tls: { cert: "${cert}", key: "${key}" } }`,
    });
    cleanup.push(() => plant.stop());
    const ca = readFileSync(authority.ca);
    const ask = (path: string, body?: unknown) =>
      new Promise<{ status: number | undefined; headers: Record<string, unknown>; text: string }>((resolve, reject) => {
        const sent = body === undefined ? undefined : JSON.stringify(body);
        const asked = request(
          {
            host: "localhost",
            port: plant.port,
            path,
            ca,
            method: sent === undefined ? "GET" : "POST",
            headers: {
              origin: `https://localhost:${plant.port}`,
              ...(sent === undefined ? {} : { "content-type": "application/json", "content-length": sent.length }),
            },
            agent: false,
          },
          (response) => {
            let text = "";
            response.on("data", (chunk) => {
              text += chunk;
            });
            response.once("end", () => resolve({ status: response.statusCode, headers: response.headers, text }));
          },
        );
        asked.once("error", reject);
        asked.end(sent);
      });
    const done = await ask("/api/v1/setup", { token: plant.setupToken, user: "anna", password: PASSWORD });
    expect(done.status).toBe(201);
    expect(String(done.headers["set-cookie"])).toMatch(
      /^__Host-millrace=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Secure$/,
    );
    expect(done.headers["strict-transport-security"]).toBe("max-age=31536000");
    const old = await new Promise((resolve) => {
      const socket = connect({
        host: "127.0.0.1",
        port: plant.port,
        ca,
        maxVersion: "TLSv1.1",
        minVersion: "TLSv1",
        ciphers: "ALL:@SECLEVEL=0",
      });
      socket.once("secureConnect", () => resolve("let in"));
      socket.once("error", () => resolve("refused"));
    });
    expect(old).toBe("refused");
    await expect(plant.client().ask("/api/v1/session")).rejects.toThrow();
    const io = testIo({ cwd: plant.folder });
    expect(await runStatus([], io)).toBe(0);
    expect(io.stdout()).toContain("press-1");
  });
});

describe("a gateway as a process", () => {
  it("tells its setup token once, keeps accounts and trail over a kill, and takes changes of the command line", async () => {
    const [local, http] = [await freePort(), await freePort()];
    const config = join(home.path, "millrace.yaml");
    writeFileSync(
      config,
      `gateway: { id: gw, dataDir: ./data }\nqueue: { minFree: 16MiB }\nbroker: { listeners: [ { port: ${local} } ] }\nhttp: { port: ${http} }\n`,
    );
    const first = await startGateway(config);
    const tokens = () => first.lines.flatMap((line) => /"setupToken":"([^"]+)"/.exec(line)?.[1] ?? []);
    await until("the setup token", () => tokens().length > 0, 10_000);
    const anna = new Client(http);
    expect((await anna.setup(tokens()[0] ?? "", "anna")).status).toBe(201);
    expect(tokens()).toHaveLength(1);
    first.child.kill("SIGKILL");
    await first.exited;
    const second = await startGateway(config);
    cleanup.push(() => second.stop());
    expect((await anna.ask("/api/v1/overview")).status).toBe(401);
    await vi.waitFor(async () => expect((await anna.login("anna", PASSWORD)).status).toBe(200), 10_000);
    expect(second.lines.join("\n")).not.toContain("setupToken");
    const word = join(home.path, "word");
    writeFileSync(word, "another long enough one\n");
    const change = millrace(["user", "passwd", "anna", "--config", config, "--password-file", word]);
    expect(await change.exited).toBe(0);
    await vi.waitFor(async () => expect((await anna.login("anna", PASSWORD)).status).toBe(401), 10_000);
    expect((await anna.login("anna", "another long enough one")).status).toBe(200);
    const tag = (n: number) => `{ name: t${n}, address: "holding:${n}", type: uint16, every: 1s }`;
    const tags = Array.from({ length: 1000 }, (_, n) => tag(n)).join(", ");
    const link = `links: [ { name: l, driver: modbus, transport: { type: tcp, host: 127.0.0.1 }, devices: [ { name: d, unit: 1, tags: [${tags}] } ] } ]`;
    const large = { text: `gateway: { id: gw }\n${link}\nhttpp: {}\n` };
    const { json } = await anna.ask("/api/v1/config/check", { body: large });
    expect(json).toMatchObject({ ok: false, faults: [{ line: 3, column: 1 }] });
    expect((await anna.ask("/api/v1/config/diff", { body: large })).json).toMatchObject({ added: 3 });
    const check = millrace(["audit", "verify", "--config", config]);
    expect(await check.exited).toBe(0);
    const { entries, faults } = await verifyFolder(join(home.path, "data", "state", "audit"));
    expect(faults).toEqual([]);
    figures.push(`${entries} audit entries over a kill: ${faults.length} faults`);
    const command = readFileSync(`/proc/${second.child.pid}/cmdline`, "latin1");
    expect(command).not.toContain("long enough");
  });
});
