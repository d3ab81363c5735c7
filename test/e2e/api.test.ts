import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { type Route, route } from "../../gateway/http/api/route.ts";
import * as schemas from "../../gateway/http/api/schemas.ts";
import type { Client } from "../support/api-client.ts";
import { type Plant, startPlant } from "../support/api-plant.ts";

let plant: Plant;
let admin: Client;
beforeAll(async () => {
  plant = await startPlant({ env: { MQTT_PASSWORD: "x" } });
  admin = plant.client();
  expect((await admin.setup(plant.setupToken, "anna")).status).toBe(201);
  await vi.waitFor(async () => {
    const { json } = await admin.ask("/api/v1/overview");
    expect(schemas.overview.parse(json).devices[0]?.bad).toBe(0);
  }, 10_000);
});
afterAll(() => plant.stop());

/** Every operation of the document, with a request that succeeds and the schema of its answer; null where it is no JSON. */
const CASES: Record<string, { path: string; method?: string; body?: unknown; answer: z.ZodType | null }> = {
  whoAmI: { path: "/session", answer: schemas.whoView },
  getOverview: { path: "/overview", answer: schemas.overview },
  listLinks: { path: "/links", answer: z.strictObject({ links: z.array(schemas.linkBrief).min(1) }) },
  getLink: { path: "/links/plc-1", answer: schemas.linkView },
  recordLink: { path: "/links/plc-1/record", body: {}, answer: null },
  getDevice: { path: "/devices/press-1", answer: schemas.deviceView },
  getHistory: { path: "/devices/press-1/tags/force/history", answer: schemas.historyView },
  writeTags: { path: "/devices/press-1/write", body: { values: { setpoint: 42 } }, answer: schemas.writeView },
  getQueue: { path: "/queue", answer: schemas.queueView },
  peekQueue: { path: "/queue/records?limit=3&stream=telemetry", answer: schemas.recordsView },
  getUplink: { path: "/uplinks/cloud", answer: schemas.uplinkView },
  listDeadLetters: { path: "/uplinks/cloud/dead-letters", answer: schemas.recordsView },
  getLogs: { path: "/logs?limit=5", answer: schemas.logsView },
  getConfig: { path: "/config", answer: schemas.configView },
  getConfigSchema: { path: "/config/schema", answer: z.looseObject({ title: z.literal("millrace.yaml") }) },
  checkConfig: { path: "/config/check", body: { text: "gateway: { id: a }" }, answer: schemas.configCheck },
  completeConfig: {
    path: "/config/complete",
    body: { text: "gateway: { id: a }\nlin", offset: 22 },
    answer: schemas.configCompletion.extend({ candidates: z.array(z.looseObject({ label: z.string() })).min(3) }),
  },
  diffConfig: { path: "/config/diff", body: { text: "gateway: { id: a }" }, answer: schemas.configDiff },
  startScan: {
    path: "/wizard/scans",
    body: { line: { link: "plc-1" }, units: [1], timeoutMs: 50 },
    answer: schemas.scanView,
  },
  interpret: {
    path: "/wizard/read",
    body: { line: { link: "plc-1" }, unit: 1, address: "holding:0" },
    answer: schemas.interpretations,
  },
  listOwnSessions: { path: "/sessions", answer: schemas.ownSessionsView },
  listUsers: { path: "/users", answer: schemas.usersView },
  addUser: {
    path: "/users",
    body: { name: "ben", role: "viewer", password: "wet paint on a wall" },
    answer: schemas.usersView,
  },
  changeUser: { path: "/users/ben", method: "PUT", body: { role: "operator" }, answer: schemas.usersView },
  unlockUser: { path: "/users/ben/unlock", body: {}, answer: schemas.usersView },
  removeUser: { path: "/users/ben", method: "DELETE", answer: schemas.usersView },
  listTokens: { path: "/tokens", answer: schemas.tokensView },
  listAudit: { path: "/audit?limit=5", answer: schemas.auditView },
  exportAudit: { path: "/audit/export", answer: null },
  getSupportBundle: { path: "/support", answer: null },
  verifyAudit: { path: "/audit/verify", answer: schemas.auditReport },
  getOpenApi: { path: "/openapi.json", answer: z.looseObject({ openapi: z.literal("3.1.0") }) },
};
/** Those with a test of their own. */
const ELSEWHERE = [
  "setup",
  "login",
  "logout",
  "changePassword",
  "addToken",
  "removeToken",
  // test/e2e/api-config.test.ts
  "planConfig",
  "getPendingConfig",
  "getConfigHistory",
  "applyConfig",
  "confirmConfig",
  "revertConfig",
  "getConfigHistoryText",
  "endOwnSession",
  "getScan",
  "stopScan",
  "getRecording",
  "followEvents",
];

describe("the API", () => {
  it("describes every route, and every one of them is tried", async () => {
    const { json } = await admin.ask("/api/v1/openapi.json");
    const ids = z
      .looseObject({ paths: z.record(z.string(), z.record(z.string(), z.looseObject({ operationId: z.string() }))) })
      .parse(json);
    const all = Object.values(ids.paths).flatMap((path) => Object.values(path).map(({ operationId }) => operationId));
    expect(all.toSorted()).toEqual([...Object.keys(CASES), ...ELSEWHERE].toSorted());
  });

  it.each(Object.entries(CASES))("%s answers by its schema", async (_, { path, method, body, answer }) => {
    const reply = await admin.ask(`/api/v1${path}`, {
      ...(method === undefined ? {} : { method }),
      ...(body === undefined ? {} : { body }),
    });
    expect(reply.status, reply.text.slice(0, 300)).toBeLessThan(300);
    expect(reply.headers["content-security-policy"]).toContain("default-src 'self'");
    answer?.parse(reply.json);
  });

  it("is an OpenAPI document whose references and parameters hold together", async () => {
    const { json, text } = await admin.ask("/api/v1/openapi.json");
    for (const [, name] of text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)) expect(name).toBe("Problem");
    const { paths } = z
      .looseObject({
        paths: z.record(
          z.string(),
          z.record(
            z.string(),
            z.looseObject({ parameters: z.array(z.looseObject({ name: z.string(), in: z.string() })) }),
          ),
        ),
      })
      .parse(json);
    for (const [path, operations] of Object.entries(paths)) {
      const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      for (const { parameters } of Object.values(operations)) {
        expect(parameters.filter((one) => one.in === "path").map(({ name }) => name)).toEqual(names);
      }
    }
  });

  it("writes tags within their limits, reads them back, and writes down who did", async () => {
    const good = await admin.ask("/api/v1/devices/press-1/write", { body: { values: { setpoint: 77 } } });
    expect(good.json).toMatchObject({ results: [{ tag: "setpoint", ok: true, after: 77 }] });
    expect(plant.plc.registers[10]).toBe(77);
    const high = await admin.ask("/api/v1/devices/press-1/write", { body: { values: { setpoint: 301 } } });
    expect(high).toMatchObject({ status: 422, json: { code: "MILLRACE_REJECTED" } });
    const never = await admin.ask("/api/v1/devices/press-1/write", { body: { values: { force: 1 } } });
    expect(never.json["error"]).toContain("not writable");
    const { json } = await admin.ask("/api/v1/audit?limit=3");
    expect(schemas.auditView.parse(json).entries.map(({ action, actor, outcome }) => [action, actor, outcome])).toEqual(
      [
        ["tag.write", "anna", "failed"],
        ["tag.write", "anna", "failed"],
        ["tag.write", "anna", "ok"],
      ],
    );
  });

  it("gives whole numbers beyond 2^53 as text, and values as they are", async () => {
    plant.plc.registers.set([0xffff, 0xffff, 0xffff, 0xfffe], 20);
    await vi.waitFor(async () => {
      const { json } = await admin.ask("/api/v1/devices/press-1");
      const total = schemas.deviceView.parse(json).values.find(({ tag }) => tag === "total");
      expect(total).toMatchObject({ value: "18446744073709551614", address: "holding:20" });
    }, 10_000);
  });

  it("keeps the last hour of a number", async () => {
    plant.plc.registers[0] = 4321;
    await vi.waitFor(async () => {
      const { json } = await admin.ask("/api/v1/devices/press-1/tags/force/history");
      expect(schemas.historyView.parse(json).max.at(-1)).toBe(4321);
    }, 10_000);
  });

  it("sends what goes on as events, first all of it, then what changed", async () => {
    const gone = new AbortController();
    const response = await fetch(`http://127.0.0.1:${plant.port}/api/v1/events?device=press-1`, {
      headers: { cookie: admin.cookie },
      signal: gone.signal,
    });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const events: { event: string; data: unknown }[] = [];
    const decoder = new TextDecoder();
    let text = "";
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk, { stream: true });
      const whole = text.split("\n\n");
      text = whole.pop() ?? "";
      for (const one of whole) {
        const [, event = "", data = ""] = /^event: (\w+)\ndata: (.*)$/.exec(one) ?? [];
        events.push({ event, data: JSON.parse(data) });
      }
      if (events.length === 2) plant.plc.registers[0] = 99;
      if (events.filter(({ event }) => event === "tags").length >= 2) break;
    }
    gone.abort();
    schemas.overview.parse(events[0]?.data);
    const tags = z.strictObject({ device: z.string(), tags: z.array(schemas.tagState) });
    expect(tags.parse(events[1]?.data).tags).toHaveLength(3);
    expect(tags.parse(events.at(-1)?.data).tags).toContainEqual(expect.objectContaining({ tag: "force", value: 99 }));
    expect((await admin.ask("/api/v1/events?device=nobody")).status).toBe(404);
  });

  it("finds units, and gives all that registers can mean", async () => {
    const asked = { line: { tcp: { host: "127.0.0.1", port: await plcPort() } }, units: [1, 2], timeoutMs: 100 };
    const begun = schemas.scanView.parse((await admin.ask("/api/v1/wizard/scans", { body: asked })).json);
    await vi.waitFor(async () => {
      const { json } = await admin.ask(`/api/v1/wizard/scans/${begun.id}`);
      expect(schemas.scanView.parse(json)).toMatchObject({
        state: "done",
        asked: 2,
        units: [{ unit: 1 }, { unit: 2 }],
      });
    }, 10_000);
    expect((await admin.ask(`/api/v1/wizard/scans/${begun.id}`, { method: "DELETE" })).status).toBe(200);
    plant.plc.registers.set([0x4148, 0x0000], 30);
    const body = { line: { link: "plc-1" }, unit: 1, address: "holding:30", expect: "12.5" };
    const read = schemas.interpretations.parse((await admin.ask("/api/v1/wizard/read", { body })).json);
    expect(read.candidates[0]).toMatchObject({ type: "float32", order: "ABCD", fits: true });
  });

  it.each([
    ["169.254.169.254", 80],
    ["0.0.0.0", 502],
    ["224.0.0.1", 502],
    ["::ffff:169.254.169.254", 80],
    ["fe80::1", 502],
    ["2852039166", 80],
  ])("a wizard does not go to %s", async (host, port) => {
    const body = { line: { tcp: { host, port } }, unit: 1, address: "holding:0" };
    expect((await admin.ask("/api/v1/wizard/read", { body })).status).toBe(409);
  });

  it("a wizard does not talk to the gateway itself", async () => {
    const body = { line: { tcp: { host: "localhost", port: plant.port } }, unit: 1, address: "holding:0" };
    expect((await admin.ask("/api/v1/wizard/read", { body })).json["error"]).toContain("this gateway itself");
  });

  it("checks a configuration with positions, and shows what it changes", async () => {
    const { json } = await admin.ask("/api/v1/config/check", { body: { text: "gateway: { id: a }\nlinkz: []\n" } });
    expect(json).toMatchObject({ ok: false, faults: [{ line: 2, column: 1 }] });
    const { text } = schemas.configView.parse((await admin.ask("/api/v1/config")).json);
    const changed = text.replace("id: gw-1", "id: gw-2");
    const diff = schemas.configDiff.parse((await admin.ask("/api/v1/config/diff", { body: { text: changed } })).json);
    expect([diff.added, diff.removed]).toEqual([1, 1]);
  });

  it("answers what is not there with 404, and what does not fit with 400", async () => {
    for (const path of ["/nothing", "/devices/nobody", "/links/x", "/uplinks/x", "/devices/press-1/tags/x/history"])
      expect((await admin.ask(`/api/v1${path}`)).status).toBe(404);
    expect((await admin.ask("/api/v1/queue/records?limit=0")).status).toBe(400);
    expect((await admin.ask("/api/v1/queue/records?limitt=1")).status).toBe(400);
    expect((await admin.ask("/api/v1/overview", { method: "PUT", body: {} })).status).toBe(405);
  });

  it("has readiness beside health", async () => {
    expect((await plant.client().ask("/readyz")).json).toEqual({ ok: true, reasons: [] });
  });
});

async function plcPort(): Promise<number> {
  const { json } = await admin.ask("/api/v1/config");
  return Number(/port: (\d+) \}\n {4}devices/.exec(schemas.configView.parse(json).text)?.[1]);
}

/** That types of `route` hold is shown by the compiler; that the checks run, here. */
describe("route", () => {
  it("checks before its handler sees anything", async () => {
    const one: Route = route({
      id: "x",
      method: "POST",
      path: "/x",
      summary: "",
      tag: "",
      needs: "nothing",
      body: z.strictObject({ a: z.number() }),
      answer: z.number(),
      handle: ({ body }) => ({ answer: body.a }),
    });
    const call = { params: {}, query: {}, request: Object.create(null), principal: undefined };
    const { signal } = new AbortController();
    await expect(one.run({ ...call, signal, body: { a: "1" } })).rejects.toThrow(z.ZodError);
    expect(await one.run({ ...call, signal, body: { a: 1 } })).toEqual({ answer: 1 });
  });
});
