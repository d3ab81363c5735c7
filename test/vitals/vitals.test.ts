import { tmpdir } from "node:os";
import { describe, expect, it } from "vitest";
import type { Instant } from "../../gateway/core/clock.ts";
import type { ForwarderStatus } from "../../gateway/northbound/forwarder.ts";
import type { LinkStatus } from "../../gateway/southbound/status.ts";
import { PromMetrics } from "../../gateway/system/prom-metrics.ts";
import { Vitals } from "../../gateway/vitals/vitals.ts";
import { startPlant } from "../support/api-plant.ts";

const WALL_MS = 1_800_000_000_000;

function link(name: string, over: Partial<LinkStatus> = {}): LinkStatus {
  const state = "connected";
  return { name, state, since: WALL_MS - 5_000, overruns: 0, errors: 0, loadPercent: 0, devices: [], ...over };
}

function uplink(name: string, over: Partial<ForwarderStatus> = {}): ForwarderStatus {
  return { name, state: "connected", sinceMs: 0, inFlight: 0, retrying: 0, connections: 1, ...over };
}

function scene(dataDir = tmpdir()) {
  const metrics = new PromMetrics();
  const stream = { nextSeq: 1, epoch: 1, segments: 3, bytes: 10, appended: 0 };
  const owed = { depth: 2, bytes: 40, lastTaken: 0, lastAcked: 0 };
  const now: { -readonly [K in keyof Instant]: Instant[K] } = { wallMs: WALL_MS, monoMs: 1_000, clock: "synced" };
  const queueUplink = (name: string) => ({
    name,
    chain: "",
    streams: { events: owed, telemetry: owed },
    gapsPending: 0,
    lost: 0,
    configured: true,
  });
  const has = {
    links: [link("a"), link("b")],
    uplinks: [uplink("cloud"), uplink("old")],
    broker: {},
    ok: true,
  };
  const vitals = new Vitals({
    gatewayId: "gw",
    version: "1.2.3",
    dataDir,
    clock: { bootId: "b", now: () => ({ ...now }), source: () => "chrony" },
    metrics,
    metricsText: () => metrics.text(),
    links: () => has.links,
    uplinks: () => has.uplinks,
    queue: () => ({
      streams: { events: stream, telemetry: stream },
      uplinks: has.uplinks.map(({ name }) => queueUplink(name)),
      bytes: 77,
      maxBytes: 100,
      bytesWritten: 0,
      bytesAppended: 0,
      dropped: 0,
      quarantined: 0,
      wear: { records: 0, bytesWritten: 0, fsyncs: 0, endurance: 1 },
      healthy: true,
    }),
    broker: () => has.broker,
    badTags: (device) => device.length,
    health: () => ({ ok: has.ok, reasons: [] }),
    ready: () => ({ ok: has.ok, reasons: [] }),
  });
  const rows = async (name: string) =>
    (await vitals.text()).split("\n").filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
  return { vitals, has, now, rows };
}

describe("Vitals", () => {
  it("has one row for each state, 1 for the one that holds", async () => {
    const { has, rows } = scene();
    has.links = [link("a", { state: "down" })];
    expect(await rows("millrace_link_state")).toEqual([
      'millrace_link_state{link="a",state="stopped"} 0',
      'millrace_link_state{link="a",state="connecting"} 0',
      'millrace_link_state{link="a",state="connected"} 0',
      'millrace_link_state{link="a",state="down"} 1',
      'millrace_link_state{link="a",state="failed"} 0',
    ]);
  });

  it("forgets what is gone", async () => {
    const { has, rows } = scene();
    expect(await rows("millrace_uplink_alarm")).toHaveLength(2);
    expect(await rows("millrace_queue_owed_bytes")).toHaveLength(4);
    has.uplinks = [uplink("cloud", { alarm: "the password is wrong" })];
    has.links = [];
    expect(await rows("millrace_uplink_alarm")).toEqual(['millrace_uplink_alarm{uplink="cloud"} 1']);
    expect(await rows("millrace_queue_owed_bytes")).toHaveLength(2);
    expect(await rows("millrace_link_state")).toEqual([]);
  });

  it("tells the age of the last reply, of the state before the first, and never less than nothing", async () => {
    const { has, rows } = scene();
    has.links = [link("a", { lastReply: WALL_MS - 1_500 }), link("b"), link("c", { lastReply: WALL_MS + 9_000 })];
    expect(await rows("millrace_link_last_reply_age_seconds")).toEqual([
      'millrace_link_last_reply_age_seconds{link="a"} 1.5',
      'millrace_link_last_reply_age_seconds{link="b"} 5',
      'millrace_link_last_reply_age_seconds{link="c"} 0',
    ]);
  });

  it("counts the uptime on the clock that never steps, and says what vouches for the other one", async () => {
    const { now, rows } = scene();
    expect(await rows("millrace_clock_source_info")).toEqual(['millrace_clock_source_info{source="chrony"} 1']);
    now.monoMs += 2_500;
    now.wallMs -= 86_400_000;
    now.clock = "unsynced";
    expect(await rows("millrace_uptime_seconds")).toEqual(["millrace_uptime_seconds 2.5"]);
    expect(await rows("millrace_clock_time_seconds")).toEqual([`millrace_clock_time_seconds ${now.wallMs / 1000}`]);
    expect(await rows("millrace_clock_source_info")).toEqual([]);
  });

  it("has no figure where there is none: a broker outside, a folder that cannot be looked at", async () => {
    const { has, rows } = scene("/no/such/folder");
    expect(await rows("millrace_disk_free_bytes")).toEqual([]);
    expect(await rows("millrace_broker_clients")).toEqual([]);
    has.broker = { clients: 3, holding: true, journal: { healthy: false } };
    expect(await rows("millrace_broker_clients")).toEqual(["millrace_broker_clients 3"]);
    expect(await rows("millrace_broker_holding")).toEqual(["millrace_broker_holding 1"]);
    expect(await rows("millrace_broker_journal_healthy")).toEqual(["millrace_broker_journal_healthy 0"]);
  });

  it("tells when the configuration was loaded, and when another one was", async () => {
    const { vitals, now, rows } = scene();
    const loaded = () => rows("millrace_config_loaded_timestamp_seconds");
    now.wallMs += 60_000;
    expect(await loaded()).toEqual([`millrace_config_loaded_timestamp_seconds ${WALL_MS / 1000}`]);
    vitals.loaded();
    expect(await loaded()).toEqual([`millrace_config_loaded_timestamp_seconds ${WALL_MS / 1000 + 60}`]);
  });

  it("says what health and readiness say", async () => {
    const { has, rows } = scene();
    expect(await rows("millrace_healthy")).toEqual(["millrace_healthy 1"]);
    has.ok = false;
    expect(await rows("millrace_healthy")).toEqual(["millrace_healthy 0"]);
    expect(await rows("millrace_ready")).toEqual(["millrace_ready 0"]);
  });
});

describe("/metrics of a whole gateway", () => {
  it("is up to date, begins counts at 0, and counts requests and failed logins", async () => {
    const plant = await startPlant();
    const get = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${plant.port}${path}`);
      return await response.text();
    };
    try {
      await get("/nowhere");
      const failed = await plant
        .client()
        .ask("/api/v1/login", { body: { user: "nobody", password: "wrong password 1" } });
      expect(failed.status).toBe(401);
      const text = await get("/metrics");
      expect(text).toMatch(/^millrace_build_info\{gateway="gw-1",version="\d[^"]*",arch="\w+"\} 1$/m);
      expect(text).toMatch(/^millrace_device_bad_tags\{link="plc-1",device="press-1"\} [0-3]$/m);
      expect(text).toMatch(/^millrace_disk_free_bytes [1-9]\d*$/m);
      expect(text).toContain('millrace_http_logins_total{result="failed"} 1\n');
      expect(text).toContain('millrace_http_requests_total{status="4xx"} 2\n');
      expect(text).toContain('millrace_uplink_dead_letters_total{uplink="cloud"} 0\n');
      expect(text).toContain(
        'millrace_queue_lost_records_total{uplink="cloud",stream="telemetry",reason="dropped"} 0\n',
      );
      expect(text).toMatch(/^millrace_queue_fsync_seconds_count [0-9]+$/m);
      expect(text).not.toMatch(/^millrace_queue_card_life_seconds /m);
    } finally {
      await plant.stop();
    }
  });
});
