import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runRequests } from "../../gateway/cli/requests.ts";
import { testIo } from "./io.ts";

const request = (label: string, busyMs: number, more: object = {}) => ({
  label,
  tags: ["a"],
  wireMs: 1,
  busyMs,
  ...more,
});
const device = (name: string, learnt: string[] = []) => ({
  device: name,
  state: "online",
  measuredPercent: 12.34,
  requests: 9,
  timeouts: 0,
  learnt,
});
const REPORT = {
  gateway: "g1",
  now: 1,
  links: [
    {
      link: "line-1",
      state: "connected",
      predictedPercent: 41,
      measuredPercent: 43.21,
      devices: [device("meter-1", ["holding:7 cannot be read"]), device("meter-2")],
      groups: [
        {
          device: "meter-1",
          group: "200ms",
          everyMs: 200,
          busyMs: 27.7,
          requests: [request("holding 0..9 (10 registers)", 27.71, { spare: 3, measuredMs: 28.06 })],
          excluded: [{ tag: "b", reason: "illegal data address" }],
          unasked: [],
        },
        {
          device: "meter-2",
          group: "1000ms",
          everyMs: 1000,
          busyMs: 0,
          requests: [],
          excluded: [],
          unasked: ["c", "d"],
        },
      ],
    },
  ],
};

let server: Server;
let url: string;
let body: string;
beforeEach(async () => {
  body = JSON.stringify(REPORT);
  server = createServer((asked, response) => {
    response.statusCode = asked.url === "/plan" ? 200 : 404;
    response.end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}`;
});
afterEach(() => {
  server.close();
  server.closeAllConnections();
});

describe("millrace requests", () => {
  it("shows requests with both times, what was learnt, and what is left out", async () => {
    const io = testIo();
    expect(await runRequests(["--url", url], io)).toBe(0);
    expect(io.stdout()).toBe(
      [
        "line-1  connected, planned load 41.0 %, measured 43.2 %",
        "DEVICE   EVERY   REQUEST                      TAGS  SPARE  PLANNED  MEASURED",
        "meter-1  200 ms  holding 0..9 (10 registers)  1     3      27.7 ms  28.1 ms",
        "meter-2          not asked for                2",
        "line time: meter-1 online 12.3 %, meter-2 online 12.3 %",
        "meter-1: holding:7 cannot be read",
        "meter-1/b is left out: illegal data address",
        "",
      ].join("\n"),
    );
  });

  it("shows the named devices only, and says which there are", async () => {
    const io = testIo();
    expect(await runRequests(["meter-2", "--url", url], io)).toBe(0);
    expect(io.stdout()).toContain("meter-2");
    expect(io.stdout()).not.toContain("meter-1");
    const wrong = testIo();
    expect(await runRequests(["meter-3", "--url", url], wrong)).toBe(64);
    expect(wrong.stderr()).toContain('there is no device "meter-3"; there is meter-1, meter-2');
  });

  it("gives the answer as it is with --json", async () => {
    const io = testIo();
    expect(await runRequests(["--url", url, "--json"], io)).toBe(0);
    expect(JSON.parse(io.stdout())).toEqual(REPORT);
  });

  it("is exit 69 where no gateway answers, and where something else does", async () => {
    body = "{}";
    const other = testIo();
    expect(await runRequests(["--url", url], other)).toBe(69);
    expect(other.stderr()).toContain("is not a millrace gateway");
    server.close();
    server.closeAllConnections();
    const io = testIo();
    expect(await runRequests(["--url", url], io)).toBe(69);
    expect(io.stderr()).toContain("millrace check --plan");
  });
});
