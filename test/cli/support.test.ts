import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runSupport } from "../../gateway/cli/support.ts";
import { scrubber } from "../../gateway/support/scrub.ts";
import { secretsOf } from "../../gateway/support/secrets.ts";
import { tar } from "../../gateway/support/tar.ts";
import { supportTools } from "../../gateway/support-tools.ts";
import { masked } from "../../gateway/system/log-lines.ts";
import { unpacked } from "../support/bundle.ts";
import { testIo } from "./io.ts";

let folder: string;
let server: Server | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-support-"));
});
afterEach(async () => {
  if (server) await once(server.close(), "close");
  server = undefined;
  rmSync(folder, { recursive: true, force: true });
});

const CONFIG = `gateway: { id: hall 5, dataDir: ./data }
uplinks:
  - name: cloud
    type: mqtt
    url: "mqtt://anna:url-canary@upstream.example:1883"
    username: gw
    password: { env: CLOUD_PASSWORD }
  - { name: other, type: mqtt, url: "mqtt://other.example", password: plain-canary } # password: comment-canary
`;

describe("millrace support without a gateway", () => {
  it("gathers what is on disk, for nobody else to read, without secrets, and says what is not there", async () => {
    writeFileSync(join(folder, "millrace.yaml"), CONFIG);
    mkdirSync(join(folder, "data", "env-canary"), { recursive: true });
    writeFileSync(join(folder, "data", "env-canary", "plain-canary.txt"), "x");
    const io = testIo({ cwd: folder, env: { CLOUD_PASSWORD: "env-canary" }, nodeVersion: "v20.1.2" });
    expect(await runSupport([], io, supportTools)).toBe(0);
    const [name = "", ...more] = readdirSync(folder).filter((one) => one.endsWith(".tar.gz"));
    expect(more).toEqual([]);
    expect(name).toMatch(/^millrace-support-hall_5-\d{8}-\d{6}\.tar\.gz$/);
    expect(io.stdout()).toContain(join(folder, name));
    expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
    const files = unpacked(readFileSync(join(folder, name)));
    expect([...files.keys()].sort()).toEqual([
      "README.txt",
      "audit.ndjson",
      "check.json",
      "data-folder.txt",
      "learnt.json",
      "millrace.yaml",
      "system.json",
    ]);
    expect(files.get("README.txt")).toMatch(/No running gateway was asked: the gateway does not answer/);
    expect(files.get("README.txt")).toMatch(/^queue\.json +not here: /m);
    expect(JSON.parse(files.get("system.json") ?? "")).toMatchObject({
      node: "v20.1.2",
      dataDir: join(folder, "data"),
      disk: { freeBytes: expect.any(Number) },
    });
    expect(files.get("data-folder.txt")).toMatch(/^0\d{3} \d+ +\d+ \S+Z \[secret\]\/\[secret\]\.txt$/m);
    expect(files.get("millrace.yaml")).toContain("password: { env: CLOUD_PASSWORD }");
    for (const text of files.values()) expect(text).not.toContain("canary");
  });

  it("takes a configuration that is broken along, with its faults", async () => {
    writeFileSync(join(folder, "millrace.yaml"), "gateway: { id: a, dataDirr: [\nlinks: 7\n");
    const io = testIo({ cwd: folder });
    expect(await runSupport(["-o", "b.tar.gz"], io, supportTools)).toBe(0);
    const files = unpacked(readFileSync(join(folder, "b.tar.gz")));
    expect(files.get("millrace.yaml")).toContain("links: 7");
    expect(JSON.parse(files.get("check.json") ?? "")).toMatchObject({ ok: false });
    expect(files.get("README.txt")).toContain("the configuration does not say where its data is");
  });

  it("writes over nothing, and says what to do where there is nothing to gather", async () => {
    writeFileSync(join(folder, "millrace.yaml"), CONFIG);
    writeFileSync(join(folder, "there"), "mine");
    const over = testIo({ cwd: folder });
    expect(await runSupport(["-o", "there"], over, supportTools)).toBe(74);
    expect(over.stderr()).toContain("name another file with --output");
    expect(readFileSync(join(folder, "there"), "utf8")).toBe("mine");
    const none = testIo({ cwd: folder });
    expect(await runSupport(["-c", "nowhere.yaml"], none, supportTools)).toBe(64);
    expect(none.stderr()).toMatch(/nowhere\.yaml.*--config/);
    expect(await runSupport(["--data", "nowhere"], testIo({ cwd: folder }), supportTools)).toBe(64);
  });

  it("gathers from the disk where what answers knows nothing of bundles", async () => {
    writeFileSync(join(folder, "millrace.yaml"), CONFIG);
    mkdirSync(join(folder, "data"));
    server = createServer((_, response) => {
      response.writeHead(404).end('{"error":"there is no GET /support","code":"MILLRACE_USAGE"}');
    });
    await once(server.listen(join(folder, "data", "control.sock")), "listening");
    const io = testIo({ cwd: folder });
    expect(await runSupport(["-o", "b.tar.gz"], io, supportTools)).toBe(0);
    expect(io.stderr()).toContain("there is no GET /support");
    expect(unpacked(readFileSync(join(folder, "b.tar.gz"))).get("README.txt")).toContain("there is no GET /support");
  });
});

describe("an archive", () => {
  it("is read by the system's tar, files of every length", () => {
    const texts = ["", "a", "b".repeat(511), "c".repeat(512), "d".repeat(513), "ä€".repeat(10_000)];
    const files = texts.map((text, at) => ({ name: `x/${at}.txt`, content: Buffer.from(text) }));
    expect([...unpacked(gzipSync(tar(files, Date.UTC(2026, 0, 2)))).entries()].sort()).toEqual(
      texts.map((text, at) => [`${at}.txt`, text]),
    );
    expect(() => tar([{ name: "x".repeat(101), content: Buffer.alloc(0) }], 0)).toThrow(RangeError);
  });
});

describe("what is taken out of texts", () => {
  it("is every secret that the configuration names, in each form that texts carry it in", async () => {
    writeFileSync(join(folder, "hash"), "file canary/1\n");
    const text = `${CONFIG}broker: { users: [ { name: a, password: { file: hash } }, { name: b, password: { file: nowhere } } ] }\n`;
    const secrets = await secretsOf(text, folder, { CLOUD_PASSWORD: 'env "canary"' });
    const scrub = scrubber(secrets, masked);
    for (const carried of [
      "url-canary",
      "plain-canary",
      "file canary/1",
      JSON.stringify('env "canary"'),
      encodeURIComponent('env "canary"'),
      Buffer.from("file canary/1").toString("base64"),
      "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----",
      "-----BEGIN RSA PRIVATE KEY-----\ncanary that was cut off",
      "scrypt$32768$8$1$canarycanarycanary$canarycanary",
      "scrypt:14:8:2:canarycanarycanary:canarycanary",
      "Authorization: Bearer canarycanary",
    ]) {
      const left = scrub(`before ${carried} behind`);
      expect(left).toContain("[secret]");
      expect(left).not.toContain("canary");
      expect(left).not.toContain(Buffer.from("file canary").toString("base64"));
    }
    expect(scrub("before cloud behind")).toBe("before cloud behind");
  });
});
