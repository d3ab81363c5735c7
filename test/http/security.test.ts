import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { IncomingMessage } from "node:http";
import { connect, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { scopesOf } from "../../gateway/accounts/roles.ts";
import { PASSWORD } from "../support/api-client.ts";
import { type Front, startFront, TIMES } from "./front.ts";

let front: Front;
beforeEach(async () => {
  front = await startFront();
});
afterEach(() => front.stop());

/** Every route with its parameters filled in. */
function everyRoute() {
  return front.api.routes.map((one) => ({ ...one, url: `/api/v1${one.path.replaceAll(/\{\w+\}/g, "x")}` }));
}

describe("first start", () => {
  it("has no way in but the setup token, which is good once", async () => {
    const token = (await front.access.setupToken()) ?? "";
    expect(token).toMatch(/^([A-Z2-9]{6}-){3}[A-Z2-9]{6}$/);
    const anna = front.client();
    expect((await anna.ask("/api/v1/session")).json).toEqual({ setup: true, version: "" });
    expect((await anna.setup("WRONG1-WRONG1-WRONG1-WRONG1", "anna")).status).toBe(403);
    const done = await anna.setup(token, "anna");
    expect(done).toMatchObject({ status: 201, json: { user: "anna", role: "admin" } });
    expect((await front.client().setup(token, "eve")).status).toBe(409);
    expect((await front.accounts.users()).map(({ name }) => name)).toEqual(["anna"]);
    expect(await front.access.awaitsSetup()).toBe(false);
    expect(await front.access.setupToken()).toBeUndefined();
  });

  it("is over when the command line made the first account", async () => {
    const token = (await front.access.setupToken()) ?? "";
    await front.accounts.addFirst("anna", "a long enough one");
    expect((await front.client().ask("/api/v1/session")).json).toEqual({ setup: false, version: "" });
    expect((await front.client().setup(token, "eve")).status).toBe(409);
  });

  it("locks out who guesses at the setup token", async () => {
    await front.access.setupToken();
    const codes = [];
    for (let n = 0; n < 7; n++) codes.push((await front.client().setup("A".repeat(24), "eve")).status);
    expect(codes).toEqual([403, 403, 403, 403, 403, 429, 429]);
  });

  it.each(["short", "aaaaaaaaaaaaaa", "anna-has-a-password", "millrace2026", "adminadmin123"])(
    "does not take the password %s",
    async (password) => {
      const token = await front.access.setupToken();
      const body = { token, user: "anna", password };
      expect((await front.client().ask("/api/v1/setup", { body })).status).toBe(409);
      expect(await front.accounts.exist()).toBe(false);
    },
  );

  it("lets none of 50 default pairs in, before and after the first account", async () => {
    const names = ["admin", "root", "user", "guest", "operator", "millrace", "pi", "ubuntu", "service", "test"];
    const words = ["admin", "0000", "password", "1234", ""];
    const token = (await front.access.setupToken()) ?? "";
    let asked = 0;
    for (const round of [0, 1]) {
      if (round === 1) await front.client().setup(token, "anna");
      for (const name of names) {
        for (const word of words) {
          asked++;
          const { status, headers } = await front.client().login(name, word);
          expect([400, 401, 429]).toContain(status);
          expect(headers["set-cookie"]).toBeUndefined();
        }
      }
    }
    expect(asked).toBe(100);
  });
});

describe("sessions", () => {
  it("are in a cookie that no script reads and no other site sends; logging in changes it, logging out ends it", async () => {
    const anna = await front.as("viewer");
    const first = anna.cookie;
    const again = await anna.login("viewer-1", "a long enough one");
    expect(again.headers["set-cookie"]?.[0]).toMatch(/^millrace_\d+=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/);
    expect(anna.cookie).not.toBe(first);
    expect((await front.client().ask("/api/v1/overview", { headers: { cookie: first } })).status).toBe(401);
    expect((await anna.ask("/api/v1/logout", { method: "POST" })).status).toBe(200);
    expect((await anna.ask("/api/v1/overview")).status).toBe(401);
  });

  it("end without a request, and in any case after a day's work", async () => {
    const anna = await front.as("viewer");
    front.wait(TIMES.idleMs - 1);
    expect((await anna.ask("/api/v1/overview")).status).toBe(200);
    front.wait(TIMES.idleMs + 1);
    expect((await anna.ask("/api/v1/overview")).status).toBe(401);
    const ben = await front.as("viewer");
    for (let ms = 0; ms < TIMES.absoluteMs; ms += TIMES.idleMs / 2) {
      await ben.ask("/api/v1/overview");
      front.wait(TIMES.idleMs / 2);
    }
    front.wait(1);
    expect((await ben.ask("/api/v1/overview")).status).toBe(401);
  });

  it("end with another role, another password, and with the user; live events too", async () => {
    const admin = await front.as("admin");
    const change = { method: "PUT", body: { password: "another long one" } };
    for (const act of [
      () => admin.ask("/api/v1/users/operator-2", { method: "PUT", body: { role: "viewer" } }),
      () => admin.ask("/api/v1/users/operator-3", change),
      () => admin.ask("/api/v1/users/operator-4", { method: "DELETE" }),
    ]) {
      const ben = await front.as("operator");
      const live = ben.ask("/api/v1/events");
      expect((await act()).status).toBe(200);
      expect((await ben.ask("/api/v1/overview")).status).toBe(401);
      expect((await live).text).toContain("event: end");
    }
  });

  it("end when role or password were changed by somebody else than the API", async () => {
    const [ben, eva] = [await front.as("operator"), await front.as("operator")];
    await front.accounts.setRole("operator-1", "viewer");
    await front.accounts.setPassword("operator-2", "another long enough one");
    expect((await ben.ask("/api/v1/overview")).status).toBe(401);
    expect((await eva.ask("/api/v1/overview")).status).toBe(401);
  });

  it("of oneself stay when one sets one's own password, and the others end", async () => {
    const [here, there] = [await front.as("viewer"), front.client()];
    await there.login("viewer-1", "a long enough one");
    const wrong = { present: "not this one", password: "another long enough one" };
    expect((await here.ask("/api/v1/password", { body: wrong })).status).toBe(403);
    const right = { ...wrong, present: "a long enough one" };
    expect((await here.ask("/api/v1/password", { body: right })).status).toBe(200);
    expect((await here.ask("/api/v1/overview")).status).toBe(200);
    expect((await there.ask("/api/v1/overview")).status).toBe(401);
  });
});

describe("what a role may do", () => {
  it("is checked on every route", async () => {
    for (const role of ["viewer", "operator", "engineer", "admin"] as const) {
      const client = await front.as(role);
      const may: readonly string[] = [...scopesOf(role), "login"];
      for (const { method, url, needs } of everyRoute()) {
        if (needs === "nothing" || url.endsWith("/events") || url.endsWith("/logout")) continue;
        const { status } = await client.ask(url, { method, ...(method === "GET" ? {} : { raw: "{" }) });
        // What is allowed gets as far as the body, or to what is not there.
        expect([role, method, url, may.includes(needs) ? status !== 403 && status !== 401 : status === 403]).toEqual([
          role,
          method,
          url,
          true,
        ]);
      }
    }
  });

  it("needs a login on every route that says so", async () => {
    for (const { method, url, needs } of everyRoute()) {
      if (needs === "nothing") continue;
      expect([url, (await front.client().ask(url, { method })).status]).toEqual([url, 401]);
    }
    expect(front.reached).toEqual([]);
  });

  it("is written down when it is refused", async () => {
    const viewer = await front.as("viewer");
    await viewer.ask("/api/v1/devices/x/write", { body: { values: { a: 1 } } });
    expect(front.events.at(-1)).toMatchObject({ actor: "viewer-1", action: "denied", target: "writeTags" });
  });

  it("a token does what its scopes say, from programs without Origin, and is gone when taken back", async () => {
    const admin = await front.as("admin");
    const made = await admin.ask("/api/v1/tokens", { body: { name: "scada", scopes: ["read"] } });
    const authorization = `Bearer ${made.json["token"]}`;
    const program = { headers: { authorization, origin: undefined, "x-csrf-token": undefined } };
    expect((await front.client().ask("/api/v1/overview", program)).status).toBe(200);
    const write = { ...program, body: { values: { a: 1 } } };
    expect((await front.client().ask("/api/v1/devices/x/write", write)).status).toBe(403);
    expect((await admin.ask("/api/v1/tokens")).text).not.toContain(String(made.json["token"]));
    const gone = await admin.ask(`/api/v1/tokens/${made.json["id"]}`, { method: "DELETE" });
    expect(gone.status).toBe(200);
    expect((await front.client().ask("/api/v1/overview", program)).status).toBe(401);
  });

  it("a good token comes in while others are being guessed from the same address", async () => {
    const admin = await front.as("admin");
    const made = await admin.ask("/api/v1/tokens", { body: { name: "scada", scopes: ["read"] } });
    const headers = { authorization: `Bearer mr_${"a".repeat(12)}_${"b".repeat(43)}` };
    for (let n = 0; n < 20; n++) await front.client().ask("/api/v1/overview", { headers });
    const good = { headers: { authorization: `Bearer ${made.json["token"]}` } };
    expect((await front.client().ask("/api/v1/overview", good)).status).toBe(200);
    // And the trail is not flooded by it.
    expect(front.events.filter(({ action }) => action === "token").length).toBeLessThanOrEqual(5);
  });

  it("a token cannot make a token that may do more than itself", async () => {
    const { text } = await front.accounts.addToken("t", ["administer"], "test");
    const headers = { authorization: `Bearer ${text}` };
    const body = { name: "more", scopes: ["operate"] };
    expect((await front.client().ask("/api/v1/tokens", { body, headers })).status).toBe(403);
  });
});

describe("brute force", () => {
  it("locks user and address after 5 failures, longer each time, and nobody else", async () => {
    const admin = await front.as("admin");
    await front.as("operator");
    const eve = front.client();
    for (let n = 0; n < 5; n++) expect((await eve.login("operator-2", `wrong ${n}`)).status).toBe(401);
    const locked = await eve.login("operator-2", "a long enough one");
    expect(locked).toMatchObject({ status: 429, headers: { "retry-after": "30" } });
    // Who is logged in stays so, and others come in.
    expect((await admin.ask("/api/v1/overview")).status).toBe(200);
    expect((await front.client().login("first", "a long enough one")).status).toBe(200);
    const locks: number[] = [];
    for (let n = 0; n < 7; n++) {
      front.wait(15 * 60_000);
      await eve.login("operator-2", "wrong");
      locks.push(Number((await eve.login("operator-2", "wrong")).headers["retry-after"]));
    }
    expect(locks).toEqual([60, 120, 240, 480, 900, 900, 900]);
    front.wait(15 * 60_000);
    expect((await eve.login("operator-2", "a long enough one")).status).toBe(200);
  });

  it("200 guesses at once are 5, and the trail has few lines of it", async () => {
    await front.as("operator");
    const before = front.events.length;
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, n) =>
        front
          .client()
          .login("operator-1", `guess number ${n}`)
          .then(
            ({ status }) => status,
            () => 0,
          ),
      ),
    );
    expect(answers).not.toContain(200);
    expect(front.events.length - before).toBeLessThan(60);
  });

  it("with ever other names does not push old entries out of the trail", async () => {
    await front.as("operator");
    const before = front.events.length;
    for (let n = 0; n < 100; n++) await front.client().login(`name-${n}`, "guess");
    expect(front.events.length - before).toBe(30);
    front.wait(60_000);
    await front.client().login("one-more", "guess");
    expect(front.events.slice(before + 30)).toEqual([
      expect.objectContaining({ action: "login", detail: "70 more, not written one by one" }),
      expect.objectContaining({ action: "login", detail: "wrong name or password" }),
    ]);
  });

  it("a right one among many that are tried at once does not get past the lock of the wrong ones", async () => {
    await front.as("operator");
    const asked = () => new IncomingMessage(new Socket());
    const wrong = Array.from({ length: 10 }, (_, n) =>
      front.access.login(asked(), { user: "operator-1", password: `guess number ${n}` }),
    );
    const right = front.access.login(asked(), { user: "operator-1", password: "a long enough one" });
    await Promise.allSettled(wrong);
    await expect(right).rejects.toMatchObject({ status: 429 });
  });

  it("does not tell a wrong name from a wrong password, and does not keep what was typed", async () => {
    await front.as("operator");
    const [name, word] = [
      await front.client().login("nobody", PASSWORD),
      await front.client().login("operator-1", "x".repeat(12)),
    ];
    expect(name.text).toBe(word.text);
    await front.client().login("my-secret-password", "x");
    expect(JSON.stringify(front.events)).not.toContain("my-secret-password");
  });
});

describe("other sites", () => {
  it("a foreign Origin is refused on every route, with a cookie or without", async () => {
    const admin = await front.as("admin");
    for (const origin of ["http://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1.evil.example"]) {
      for (const { method, url } of everyRoute()) {
        const { status } = await admin.ask(url, { method, headers: { origin } });
        expect([origin, method, url, status]).toEqual([origin, method, url, 403]);
      }
    }
    expect(front.reached).toEqual([]);
  });

  it("a change needs the token of the session and a vouched origin", async () => {
    const admin = await front.as("admin");
    const body = { values: { a: 1 } };
    const refused = [
      { "x-csrf-token": undefined },
      { "x-csrf-token": "x".repeat(43) },
      { origin: undefined },
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site" },
    ];
    for (const headers of refused)
      expect((await admin.ask("/api/v1/devices/x/write", { body, headers })).status).toBe(403);
    const other = await front.as("admin");
    const theirs = { "x-csrf-token": other.csrf };
    expect((await admin.ask("/api/v1/devices/x/write", { body, headers: theirs })).status).toBe(403);
    expect(front.reached).toEqual([]);
    expect((await admin.ask("/api/v1/devices/x/write", { body })).status).toBe(200);
  });

  it("a form cannot be a request: only JSON is", async () => {
    const admin = await front.as("admin");
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", undefined]) {
      const raw = '{"values":{"a":1}}';
      const { status } = await admin.ask("/api/v1/devices/x/write", { raw, headers: { "content-type": type } });
      expect(status).toBe(415);
    }
    expect(front.reached).toEqual([]);
  });

  it.each(["evil.example", "gateway.local", "127.0.0.1.nip.io", "10.0.0.1", "[::2]", "127.0.0.1:80:80", ""])(
    "is not there under the name %s (DNS rebinding)",
    async (host) => {
      const { status } = await front.client().ask("/api/v1/session", { headers: { host: host || " " } });
      expect([400, 403]).toContain(status);
    },
  );

  it("is there under a name that was configured", async () => {
    await front.stop();
    front = await startFront({ options: { host: "127.0.0.1", port: 0, hosts: ["gw.plant.example"] } });
    const headers = { host: "GW.plant.example:8080" };
    expect((await front.client().ask("/api/v1/session", { headers })).status).toBe(200);
  });

  it("health and metrics are for this machine, not for who is sent on from elsewhere", async () => {
    for (const path of ["/healthz", "/readyz", "/metrics", "/status", "/plan"]) {
      expect((await front.client().ask(path)).status).toBe(200);
      for (const name of ["x-forwarded-for", "forwarded", "via"]) {
        expect((await front.client().ask(path, { headers: { [name]: "192.0.2.1" } })).status).toBe(401);
      }
    }
  });
});

describe("what is sent", () => {
  it("leaves no trace on objects (prototype pollution)", async () => {
    const operator = await front.as("operator");
    const keys = ["__proto__", "constructor", "prototype"];
    const bodies = keys.flatMap((key) => [
      `{"values":{"${key}":{"x":1}}}`,
      `{"values":{"a":1,"${key}":1}}`,
      `{"${key}":{"polluted":true},"values":{"a":1}}`,
      `{"values":{"a":1},"${key}":{"values":{"polluted":true}}}`,
      `{"values":{"\\u005f_proto__":"x","a":1}}`,
    ]);
    for (const raw of bodies) await operator.ask("/api/v1/devices/x/write", { raw });
    for (const key of keys) {
      await operator.ask(`/api/v1/devices/${key}`);
      await operator.ask(`/api/v1/queue/records?${key}=1&${key}[x]=1`);
      await operator.ask(`/api/v1/${key}`);
    }
    expect(Object.keys(Object.prototype)).toEqual([]);
    expect("polluted" in {}).toBe(false);
    for (const asked of front.reached.flat()) {
      if (typeof asked === "object" && asked !== null)
        for (const key of keys) expect(Object.keys(asked)).not.toContain(key);
    }
  });

  it("is refused beyond 64 KiB, 20 levels, and where it is no JSON, no UTF-8 or packed", async () => {
    const operator = await front.as("operator");
    const write = (raw: string | Buffer, headers = {}) => operator.ask("/api/v1/devices/x/write", { raw, headers });
    expect((await write(`{"values":{"a":"${"x".repeat(70_000)}"}}`)).status).toBe(413);
    expect((await write(`{"values":${"[".repeat(21)}${"]".repeat(21)}}`)).json["error"]).toContain("20 levels");
    expect((await write(`${"[".repeat(30_000)}`)).status).toBe(400);
    expect((await write('{"values":')).status).toBe(400);
    expect((await write(Buffer.from([0x7b, 0xff, 0x7d]))).status).toBe(400);
    expect((await write("{}", { "content-encoding": "gzip" })).status).toBe(415);
    expect((await write('{"values":{"a":1},"more":1}')).status).toBe(400);
    expect((await write('{"values":{}}')).status).toBe(400);
    expect(front.reached).toEqual([]);
    // Brackets in a text are no levels.
    expect((await write(`{"values":{"a":"${'[{\\"'.repeat(200)}"}}`)).status).toBe(200);
  });

  it("chunked, without a length, is bounded too", async () => {
    const operator = await front.as("operator");
    const head = `POST /api/v1/devices/x/write HTTP/1.1\r\nHost: 127.0.0.1:${front.server.port}\r\nCookie: ${operator.cookie}\r\nOrigin: http://127.0.0.1:${front.server.port}\r\nX-CSRF-Token: ${operator.csrf}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`;
    const chunk = `4000\r\n${"[".repeat(0x4000)}\r\n`;
    expect(await talk(`${head}${chunk.repeat(8)}0\r\n\r\n`)).toContain("HTTP/1.1 413");
  });

  it("does not leave the folder of the dashboard, nor name a file (traversal)", async () => {
    const folder = await mkdtemp(join(tmpdir(), "millrace-pages-"));
    await mkdir(join(folder, "pages", "assets"), { recursive: true });
    await writeFile(join(folder, "secret.json"), '"canary"');
    await writeFile(join(folder, "pages", "index.html"), "<!doctype html>");
    await writeFile(join(folder, "pages", "assets", "app.js"), "1");
    await front.stop();
    front = await startFront({ assets: join(folder, "pages") });
    const client = front.client();
    expect(await client.ask("/")).toMatchObject({ status: 200, text: "<!doctype html>" });
    const { status, headers } = await client.ask("/assets/app.js");
    expect([status, headers["content-type"]]).toEqual([200, "text/javascript; charset=utf-8"]);
    const etag = { "if-none-match": String(headers.etag) };
    expect((await client.ask("/assets/app.js", { headers: etag })).status).toBe(304);
    const paths = [
      "/../secret.json",
      "/assets/../../secret.json",
      "/%2e%2e/secret.json",
      "/..%2fsecret.json",
      "/assets/..%5c..%5csecret.json",
      "//secret.json",
      "/assets/%00",
      "/....//secret.json",
      "/secret.json",
      join(folder, "secret.json"),
    ];
    for (const path of paths) expect(await client.ask(path)).toMatchObject({ status: 404 });
    const engineer = await front.as("engineer");
    for (const name of ["..%2f..%2faccounts.json", "%2e%2e", "%00", "a%2f..%2fb", "%zz"]) {
      const reply = await engineer.ask(`/api/v1/links/plc/recordings/${name}`);
      expect([400, 404]).toContain(reply.status);
    }
    await rm(folder, { recursive: true });
  });

  it("is never answered as a page: texts of strangers are JSON, with a policy that runs nothing", async () => {
    const texts = [
      "<script>alert(1)</script>",
      '"><img src=x onerror=alert(1)>',
      "javascript:alert(1)",
      "</script><svg/onload=alert(1)>",
      "'-alert(1)-'",
      "{{constructor.constructor('alert(1)')()}}",
      "\u2028alert(1)",
    ];
    await front.stop();
    const tags = texts.map((text) => ({ tag: text, value: text, quality: "bad" as const, reason: text }));
    front = await startFront({}, { peek: () => Promise.resolve(tags), logs: () => ({ lines: [], lost: 0 }) });
    const operator = await front.as("operator");
    const replies = [
      await operator.ask("/api/v1/queue/records"),
      await operator.ask(`/api/v1/devices/${encodeURIComponent(texts[0] ?? "")}`),
      await operator.ask(`/api/v1/${encodeURIComponent(texts[1] ?? "")}`),
      await operator.ask("/api/v1/devices/x/write", { body: { values: { [texts[1] ?? ""]: texts[2] } } }),
      await operator.login(texts[3] ?? "", texts[4] ?? ""),
      await operator.ask(`/${encodeURIComponent(texts[0] ?? "")}`),
    ];
    for (const { headers, text } of replies) {
      expect(headers["content-type"]).toMatch(/^(application\/json|text\/plain); charset=utf-8$/);
      expect(headers).toMatchObject({
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "content-security-policy": expect.stringContaining("script-src 'self'"),
        "cache-control": "no-store",
      });
      expect(headers["content-security-policy"]).not.toContain("unsafe");
      if (String(headers["content-type"]).startsWith("text/plain")) expect(text).not.toContain("script");
    }
    expect(replies[0]?.json).toEqual({ records: tags });
  });

  it("does not hold a connection for who sends slowly, headers or body", async () => {
    await front.stop();
    front = await startFront({ times: { headersTimeout: 100, requestTimeout: 200, connectionsCheckingInterval: 20 } });
    const head = `POST /api/v1/login HTTP/1.1\r\nHost: 127.0.0.1:${front.server.port}\r\n`;
    const body = "Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{";
    expect(await talk(head)).toContain("408");
    await talk(`${head}${body}`);
    expect((await front.client().ask("/healthz")).status).toBe(200);
  });

  it("a reader of events that takes nothing costs no memory, and others get theirs", async () => {
    await front.stop();
    const large = "x".repeat(200_000);
    let made = 0;
    const changed = (_: string, since: number) => {
      made++;
      return { tags: [{ tag: "a", value: large, quality: "good" as const }], mark: since + 1 };
    };
    front = await startFront({}, { changed });
    const viewer = await front.as("viewer");
    const socket = connect(front.server.port, "127.0.0.1");
    await once(socket, "connect");
    socket.pause();
    const host = `127.0.0.1:${front.server.port}`;
    socket.write(`GET /api/v1/events?device=a HTTP/1.1\r\nHost: ${host}\r\nCookie: ${viewer.cookie}\r\n\r\n`);
    // The system takes some; after that nothing more is made for it.
    await vi.waitFor(() => expect(made).toBeGreaterThan(1));
    let before = -1;
    await vi.waitFor(
      () => {
        const same = before === made;
        before = made;
        expect(same).toBe(true);
      },
      { timeout: 10_000, interval: 150 },
    );
    expect(made).toBeLessThan(200);
    expect((await viewer.ask("/api/v1/overview")).status).toBe(200);
    socket.destroy();
  });
});

/** Sends bytes as they are; everything that comes until the server hangs up. */
async function talk(text: string): Promise<string> {
  const socket = connect(front.server.port, "127.0.0.1");
  socket.on("error", () => {});
  let got = "";
  socket.on("data", (chunk) => {
    got += chunk.toString();
  });
  socket.write(text);
  await once(socket, "close");
  return got;
}
