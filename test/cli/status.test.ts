import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { onDiskText } from "../../gateway/cli/on-disk.ts";
import { describeStatus } from "../../gateway/cli/status/describe.ts";
import { statusReport } from "../../gateway/cli/status/report.ts";
import { runStatus } from "../../gateway/cli/status.ts";
import { testIo } from "./io.ts";

const debt = { depth: 0, bytes: 0, lastTaken: 9, lastAcked: 9 };
const REPORT = {
  gateway: "press-shop-01",
  now: 1_000_000,
  clock: "synced",
  health: { ok: true, reasons: [] },
  links: [
    {
      name: "plc-1",
      state: "connected",
      since: 940_000,
      overruns: 0,
      errors: 0,
      loadPercent: 12.4,
      devices: [
        {
          name: "press-1",
          state: "online",
          since: 940_000,
          loadPercent: 9.6,
          scans: 60,
          overruns: 3,
          timeouts: 1,
          errors: 0,
        },
      ],
    },
    {
      name: "rs485-1",
      state: "down",
      since: 999_000,
      lastError: "no such file /dev/ttyUSB0",
      overruns: 0,
      errors: 1,
      loadPercent: 0,
      devices: [],
    },
  ],
  queue: {
    bytes: 3 * 1024 ** 2,
    maxBytes: 2 * 1024 ** 3,
    secondsToFull: 7200,
    dropped: 5,
    quarantined: 0,
    uplinks: [
      {
        name: "cloud",
        chain: "c",
        gapsPending: 1,
        streams: { events: debt, telemetry: { ...debt, depth: 1234, oldestWallMs: 400_000 } },
      },
    ],
  },
  uplinks: [
    {
      name: "cloud",
      state: "waiting",
      sinceMs: 400_000,
      inFlight: 0,
      retrying: 0,
      connections: 1,
      lastError: "connect ECONNREFUSED",
    },
  ],
};

let server: Server;
let url = "";
let reply: { code: number; body: string };
let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-status-"));
  reply = { code: 200, body: JSON.stringify(REPORT) };
  server = createServer((request, response) => {
    response.statusCode = request.url === "/status" ? reply.code : 404;
    response.end(reply.body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}`;
});
afterEach(async () => {
  server.close();
  server.closeAllConnections();
  await rm(folder, { recursive: true });
});

describe("describeStatus", () => {
  it("shows links, devices, queue and uplinks as tables", () => {
    expect(describeStatus(statusReport.parse(REPORT), 1_000_000)).toBe(
      [
        "press-shop-01  healthy, clock synced",
        "",
        "LINK       STATE      SINCE  LOAD  NOTE",
        "plc-1      connected  60 s   12 %",
        "  press-1  online     60 s   10 %  3 overruns, 1 timeouts",
        "rs485-1    down       1 s    0 %   no such file /dev/ttyUSB0",
        "",
        "queue  3 MiB of 2 GiB on disk, full in 2 h at this rate, 5 records dropped",
        "",
        "UPLINK  STATE    SINCE   BACKLOG  OLDEST  GAPS  NOTE",
        "cloud   waiting  10 min  1,234    10 min  1     connect ECONNREFUSED",
        "",
      ].join("\n"),
    );
  });
});

describe("what is on disk", () => {
  it("tells what records take apart from the reserve for a full disk", () => {
    const MIB = 2 ** 20;
    expect(onDiskText(32 * MIB, 2048 * MIB, [{ bytes: 0 }, { bytes: 0 }])).toBe(
      "queue  0 B of 2 GiB on disk, besides 32 MiB in reserve for when the disk is full",
    );
    expect(onDiskText(40 * MIB, 0, [{ bytes: 3 * MIB }, { bytes: 5 * MIB }])).toBe(
      "queue  8 MiB on disk, besides 32 MiB in reserve for when the disk is full",
    );
    expect(onDiskText(8 * MIB, 0, [{ bytes: 8 * MIB }])).toBe("queue  8 MiB on disk");
    expect(onDiskText(8 * MIB, 0)).toBe("queue  8 MiB on disk");
  });
});

describe("millrace status", () => {
  it("asks the port of the configuration", async () => {
    await writeFile(join(folder, "millrace.yaml"), `http: { port: ${new URL(url).port} }\n`);
    const io = testIo({ cwd: folder });
    expect(await runStatus([], io)).toBe(0);
    expect(io.stdout()).toContain("press-shop-01  healthy");
    expect(await runStatus(["-c", "millrace.yaml", "--json"], testIo({ cwd: folder }))).toBe(0);
  });

  it("gives the answer as it is with --json", async () => {
    const io = testIo();
    expect(await runStatus(["--url", url, "--json"], io)).toBe(0);
    expect(JSON.parse(io.stdout())).toEqual(REPORT);
  });

  it("is exit 1 when the gateway is not healthy, with the reasons", async () => {
    reply = { code: 200, body: JSON.stringify({ ...REPORT, health: { ok: false, reasons: ["the disk is full"] } }) };
    const io = testIo();
    expect(await runStatus(["--url", url], io)).toBe(1);
    expect(io.stdout()).toContain("NOT HEALTHY: the disk is full");
  });

  it.each([
    [500, "oops", "HTTP 500: oops"],
    [200, "<html>", "no gateway answers"],
    [200, "{}", "is not a millrace gateway"],
  ])("is exit 69 when %d %j answers", async (code, body, text) => {
    reply = { code, body };
    const io = testIo();
    expect(await runStatus(["--url", url], io)).toBe(69);
    expect(io.stderr()).toContain(text);
  });

  it("is exit 69 when nobody answers, with the cause", async () => {
    const io = testIo();
    expect(await runStatus(["--url", "http://127.0.0.1:9"], io)).toBe(69);
    expect(io.stderr()).toMatch(/no gateway answers at http:\/\/127\.0\.0\.1:9: .+/);
  });

  it.each([
    [["--url", "ftp://x"], "is not an address"],
    [["--config", "/none.yaml"], "--config: ENOENT"],
    [["more"], "is not an option"],
  ])("%j is exit 64", async (args, text) => {
    const io = testIo();
    expect(await runStatus(args, io)).toBe(64);
    expect(io.stderr()).toContain(text);
  });

  it("refuses a configuration whose port is taken at the start", async () => {
    await writeFile(join(folder, "any.yaml"), "http: { port: 0 }\n");
    const io = testIo({ cwd: folder });
    expect(await runStatus(["--config", "any.yaml"], io)).toBe(64);
    expect(io.stderr()).toContain("give --url with the port from the gateway's log");
  });
});
