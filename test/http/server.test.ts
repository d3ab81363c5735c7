import { once } from "node:events";
import { request } from "node:http";
import { connect, createServer } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ConfigError } from "../../gateway/core/errors.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { isLoopbackHost } from "../../gateway/http/host.ts";
import { HttpServer } from "../../gateway/http/server.ts";

let server: HttpServer;
let reasons: string[] = [];
let metrics: () => Promise<string>;
beforeEach(async () => {
  reasons = [];
  metrics = () => Promise.resolve("millrace_up 1\n");
  server = new HttpServer({
    options: { host: "127.0.0.1", port: 0 },
    log: silentLogger,
    metricsText: () => metrics(),
    health: () => ({ ok: reasons.length === 0, reasons }),
    status: () => ({ gateway: "g1", big: 2n ** 60n }),
    plan: () => ({ gateway: "g1", links: [] }),
  });
  await server.start();
});
afterEach(() => server.stop());

interface Reply {
  readonly code: number | undefined;
  readonly headers: Record<string, unknown>;
  readonly body: string;
}

async function ask(path: string, options: { method?: string; host?: string; body?: string } = {}): Promise<Reply> {
  const { method = "GET", host } = options;
  const sent = request({ port: server.port, path, method, ...(host === undefined ? {} : { headers: { host } }) });
  sent.end(options.body);
  const [response] = await once(sent, "response");
  let body = "";
  for await (const chunk of response) body += chunk;
  return { code: response.statusCode, headers: response.headers, body };
}

/** Sends bytes as they are; everything that comes until the server hangs up. */
async function raw(text: string): Promise<string> {
  const socket = connect(server.port, "127.0.0.1");
  socket.on("error", () => {});
  let got = "";
  socket.on("data", (chunk) => {
    got += chunk.toString();
  });
  socket.write(text);
  await once(socket, "close");
  return got;
}

describe("HttpServer", () => {
  it("is healthy with 200 and not healthy with 503 and the reasons", async () => {
    expect(await ask("/healthz")).toMatchObject({ code: 200, body: '{"ok":true,"reasons":[]}\n' });
    reasons = ["the disk refuses writes"];
    const sick = await ask("/healthz?probe=1");
    expect(sick.code).toBe(503);
    expect(JSON.parse(sick.body)).toEqual({ ok: false, reasons });
  });

  it("serves metrics in Prometheus' text format", async () => {
    const reply = await ask("/metrics");
    expect(reply.body).toBe("millrace_up 1\n");
    expect(reply.headers["content-type"]).toContain("version=0.0.4");
  });

  it("serves status as JSON, with big integers as text", async () => {
    const reply = await ask("/status");
    expect(JSON.parse(reply.body)).toEqual({ gateway: "g1", big: "1152921504606846976" });
    expect(reply.headers).toMatchObject({ "cache-control": "no-store", "x-content-type-options": "nosniff" });
  });

  it("answers HEAD without a body, and nothing but GET and HEAD", async () => {
    const head = await ask("/healthz", { method: "HEAD" });
    expect(head).toMatchObject({ code: 200, body: "" });
    expect(head.headers["content-length"]).toBe("25");
    const post = await ask("/status", { method: "POST", body: "x".repeat(1_000_000) });
    expect(post.code).toBe(405);
    expect(post.headers).toMatchObject({ allow: "GET, HEAD", connection: "close" });
  });

  it.each(["/", "/metrics/", "/__proto__", "/constructor", "/%2e%2e/status", "//status"])(
    "has nothing at %s",
    async (path) => {
      expect((await ask(path)).code).toBe(404);
    },
  );

  it.each(["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil.example"])(
    "is not there under the name %s",
    async (host) => {
      expect(await ask("/status", { host })).toMatchObject({ code: 403 });
    },
  );

  it.each(["localhost:1", "LOCALHOST", "127.0.0.1", "[::1]:8080"])("is there under the name %s", async (host) => {
    expect((await ask("/status", { host })).code).toBe(200);
  });

  it("answers 500 when the numbers cannot be had, and lives on", async () => {
    metrics = () => Promise.reject(new Error("no"));
    expect((await ask("/metrics")).code).toBe(500);
    expect((await ask("/healthz")).code).toBe(200);
  });

  it("refuses what is not HTTP, a request without Host, and headers that are too long", async () => {
    expect(await raw("\x16\x03\x01 nonsense\r\n\r\n")).toContain("400");
    expect(await raw("GET /status HTTP/1.1\r\nConnection: close\r\n\r\n")).toContain("400");
    expect(await raw(`GET /status HTTP/1.1\r\nHost: localhost\r\nX: ${"a".repeat(20_000)}\r\n\r\n`)).toContain("431");
    expect((await ask("/healthz")).code).toBe(200);
  });

  it("gives the plan", async () => {
    expect(await ask("/plan")).toMatchObject({ code: 200, body: '{"gateway":"g1","links":[]}\n' });
    expect((await ask("/plan", { method: "POST" })).code).toBe(405);
  });

  it("says that its port is taken, and what to change", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const address = taken.address();
    const port = typeof address === "object" && address ? address.port : 0;
    const second = new HttpServer({
      options: { host: "127.0.0.1", port },
      log: silentLogger,
      metricsText: () => Promise.resolve(""),
      health: () => ({ ok: true, reasons: [] }),
      status: () => ({}),
      plan: () => ({}),
    });
    const failed = await second.start().catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(ConfigError);
    expect(String(failed)).toContain(`http: 127.0.0.1:${port} is in use by another program; choose another http.port`);
    await second.stop();
    taken.close();
  });

  it("stops with a connection that is kept open and one that says nothing, twice, and starts again", async () => {
    const silent = connect(server.port, "127.0.0.1");
    const kept = connect(server.port, "127.0.0.1");
    kept.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await once(kept, "data");
    const ends = Promise.all([once(silent, "close"), once(kept, "close")]);
    silent.on("error", () => {});
    await server.stop();
    await ends;
    await server.stop();
    expect(server.port).toBe(0);
    await server.start();
    expect((await ask("/healthz")).code).toBe(200);
  });
});

describe("isLoopbackHost", () => {
  it.each([
    ["127.255.0.1:80", true],
    ["[::1]", true],
    [undefined, false],
    ["", false],
    ["[::2]", false],
    ["127.0.0.1:99999999", false],
    ["localhost:8080:1", false],
  ])("%s: %s", (host, expected) => {
    expect(isLoopbackHost(host)).toBe(expected);
  });
});
