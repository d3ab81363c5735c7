import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as schemas from "../../gateway/http/api/schemas.ts";
import { Client, PASSWORD } from "../support/api-client.ts";
import { CountingPlc } from "../support/counting-plc.ts";
import { freePort, type Process, scratch, startGateway, until } from "../support/processes.ts";

/** The operations that replace the configuration, of a process of its own: every answer by its schema. */
const home = scratch("api-config");
const file = join(home.path, "millrace.yaml");
const plc = new CountingPlc();
let gateway: Process;
let admin: Client;
let text = "";

const API = "/api/v1/config";
const pending = async () => schemas.pendingView.parse((await admin.ask(`${API}/pending`)).json);
const sha256 = async () => schemas.configView.parse((await admin.ask(API)).json).sha256;
const apply = async (next: string, more: object = {}) =>
  await admin.ask(`${API}/apply`, { body: { text: next, base: await sha256(), note: "a try", ...more } });

beforeAll(async () => {
  const http = await freePort();
  text = `gateway: { id: gw-1, dataDir: ./data }
broker: { listeners: [ { port: ${await freePort()} } ] }
queue: { maxBytes: 256MiB, minFree: 16MiB }
http: { port: ${http} }
links:
  - name: plc-1
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1, port: ${await plc.listen()} }
    devices:
      - name: press-1
        unit: 1
        topic: plant/press-1
        tags:
          - { name: force, address: "holding:0", type: uint16, every: 200ms }
`;
  writeFileSync(file, text, { mode: 0o640 });
  gateway = await startGateway(file);
  admin = new Client(http);
  const token = /"setupToken":"([^"]+)"/.exec(await gateway.line(/"setupToken":"/))?.[1] ?? "";
  expect((await admin.setup(token, "anna")).status).toBe(201);
}, 60_000);

afterAll(async () => {
  await gateway?.stop();
  await plc.stop();
  home.remove();
});

describe("the configuration by the API", () => {
  const changed = () => text.replace("every: 200ms", "every: 500ms");

  it("says what an apply would do", async () => {
    const { json } = await admin.ask(`${API}/plan`, { body: { text: changed() } });
    expect(schemas.reloadPlan.parse(json["plan"])).toMatchObject({
      whole: false,
      steps: [{ part: "link plc-1", action: "restart" }],
    });
    expect(await pending()).toEqual({ state: "none", unhealthy: [] });
    expect(readFileSync(file, "utf8")).toBe(text);
  });

  it("has nothing to confirm or to take back while nothing waits", async () => {
    for (const what of ["confirm", "revert"]) {
      const reply = await admin.ask(`${API}/${what}`, { method: "POST", body: {} });
      expect(reply).toMatchObject({ status: 409, json: { error: "no change waits for a confirmation" } });
    }
  });

  it("refuses what is wrong, or made from another text, and changes nothing", async () => {
    const wrong = await apply(text.replace("driver: modbus", "driver: modbuss"));
    expect(wrong.status).toBe(422);
    expect(wrong.text).toContain("modbuss");
    const stale = await admin.ask(`${API}/apply`, { body: { text: changed(), base: "0".repeat(64) } });
    expect(stale).toMatchObject({ status: 409 });
    expect(stale.json["error"]).toContain("load it anew");
    expect(readFileSync(file, "utf8")).toBe(text);
  });

  it("applies, takes back, and keeps what is confirmed", async () => {
    const applied = await apply(changed());
    expect(applied.status, applied.text).toBe(202);
    schemas.pendingView.parse(applied.json);
    await until("it waits", async () => (await pending()).state === "waiting", 20_000);
    expect((await apply(changed())).status).toBe(409);
    const reverted = await admin.ask(`${API}/revert`, { method: "POST", body: {} });
    expect(schemas.pendingView.parse(reverted.json).state).toBe("reverting");
    await until("it is taken back", async () => (await pending()).last?.outcome === "reverted", 20_000);
    expect(readFileSync(file, "utf8")).toBe(text);

    expect((await apply(changed())).status).toBe(202);
    await until("it waits", async () => (await pending()).state === "waiting", 20_000);
    const kept = await admin.ask(`${API}/confirm`, { method: "POST", body: {} });
    expect(schemas.pendingView.parse(kept.json)).toMatchObject({ state: "none", last: { outcome: "confirmed" } });
    expect(readFileSync(file, "utf8")).toBe(changed());
  });

  it("has every text there was, with what it would change", async () => {
    const { json } = await admin.ask(`${API}/history`);
    const { entries } = schemas.historyList.parse(json);
    expect(entries.map(({ by, outcome }) => [by, outcome])).toEqual([
      ["anna", "confirmed"],
      ["anna", "reverted"],
      ["", "found"],
    ]);
    const first = await admin.ask(`${API}/history/${entries.at(-1)?.id}`);
    expect(schemas.historyText.parse(first.json)).toMatchObject({ text, diff: { added: 1, removed: 1 } });
    expect((await admin.ask(`${API}/history/999`)).status).toBe(404);
    expect((await admin.ask(`${API}/history/0`)).status).toBe(400);
  });

  it("lets only those apply it who may configure", async () => {
    const { json } = await admin.ask("/api/v1/tokens", { body: { name: "reader", scopes: ["read"] } });
    const reader = { headers: { authorization: `Bearer ${json["token"]}` } };
    const nobody = new Client(Number(/port: (\d+)/.exec(text.slice(text.indexOf("http:")))?.[1]));
    for (const path of ["apply", "plan", "confirm", "revert"]) {
      expect((await nobody.ask(`${API}/${path}`, { body: {} })).status, path).toBe(401);
      expect((await nobody.ask(`${API}/${path}`, { body: {}, ...reader })).status, path).toBe(403);
    }
    expect((await admin.login("anna", PASSWORD)).status).toBe(200);
  });
});
