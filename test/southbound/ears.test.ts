import { describe, expect, it } from "vitest";
import type { Device, Driver, Emit, Tag } from "../../gateway/core/driver.ts";
import { NotConnectedError } from "../../gateway/core/errors.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import type { Sample, Value } from "../../gateway/core/sample.ts";
import { Link } from "../../gateway/southbound/link.ts";
import type { Scan } from "../../gateway/southbound/scan.ts";
import { device, tag } from "./setup.ts";
import { settled, VirtualTime } from "./virtual-time.ts";

/** Tags of type `heard` are listened for, all others are read. */
class SpeakingDriver implements Driver {
  readonly concurrency = 1;
  readonly #time: VirtualTime;
  readonly listeners = new Map<string, { readonly tags: readonly Tag[]; readonly emit: Emit }>();
  #ends: (() => void)[] = [];

  constructor(time: VirtualTime) {
    this.#time = time;
  }
  plan(one: Device, tags: readonly Tag[]) {
    const read = tags.filter((each) => each.type !== "heard");
    return read.length === 0 ? [] : [{ device: one, tags: read, label: "read", wireMs: 1 }];
  }
  connect() {
    return Promise.resolve();
  }
  read(request: { readonly tags: readonly Tag[] }) {
    return Promise.resolve(request.tags.map((each) => this.sample(each.name, 1)));
  }
  listen(one: Device, tags: readonly Tag[], emit: Emit, signal: AbortSignal): Promise<void> {
    this.listeners.set(one.name, { tags, emit });
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => resolve());
      this.#ends.push(() => reject(new NotConnectedError("unplugged")));
    });
  }
  cut(): void {
    for (const end of this.#ends) end();
  }
  close() {
    return Promise.resolve();
  }
  sample(name: string, value: Value): Sample {
    return { tag: name, quality: "good", value, monoMs: this.#time.nowMs() };
  }
}

function setup(devices: readonly Device[]) {
  const time = new VirtualTime();
  const drivers: SpeakingDriver[] = [];
  const scans: Scan[] = [];
  const link = new Link({
    name: "line",
    driver: () => {
      const driver = new SpeakingDriver(time);
      drivers.push(driver);
      return driver;
    },
    devices,
    clock: time,
    log: silentLogger,
    metrics: noMetrics,
    emit: (scan) => void scans.push(scan),
    options: { timers: time, random: () => 0.5 },
  });
  const say = (name: string, ...samples: readonly [string, Value][]) => {
    const driver = drivers.at(-1);
    driver?.listeners.get(name)?.emit(samples.map(([each, value]) => driver.sample(each, value)));
  };
  return { time, drivers, scans, link, say };
}

const HEARD = { type: "heard" } as const;

describe("devices that speak", () => {
  const scanner = device("scanner", [
    tag("code", 1000, { ...HEARD, stream: "events" }),
    tag("signal", 1000, { ...HEARD, deadband: 5 }),
  ]);

  it("are told when all that came of a telegram is on disk; what is not kept is sent again when it is said again", async () => {
    const { time, scans, link, drivers } = setup([
      device("gate", [tag("n", 1000, { ...HEARD, stream: "events", deadband: 0 }), tag("t", 1000, HEARD)]),
    ]);
    await link.start();
    await time.pass(10);
    const [driver] = drivers;
    const answers: (string | undefined)[] = [];
    const hear = () => {
      const samples = [driver?.sample("n", 1), driver?.sample("t", 2)].flatMap((one) => one ?? []);
      driver?.listeners.get("gate")?.emit(samples, (error) => void answers.push(error?.message));
    };
    hear();
    expect(scans.map(({ stream }) => stream).sort()).toEqual(["events", "telemetry"]);
    scans[0]?.stored?.();
    await settled();
    expect(answers).toEqual([]);
    scans[1]?.stored?.(new Error("full"));
    await settled();
    expect(answers).toEqual(["full"]);
    // What is on disk is not stored twice.
    scans.length = 0;
    hear();
    for (const { stored } of scans) stored?.();
    await settled();
    expect([scans.map(({ stream }) => stream), answers]).toEqual([["telemetry"], ["full", undefined]]);
    await link.stop();
  });

  it("are heard at once, each tag in its stream, through its deadband", async () => {
    const { time, scans, link, say, drivers } = setup([scanner]);
    await link.start();
    await time.pass(10);
    expect(drivers[0]?.listeners.get("scanner")?.tags.map(({ name }) => name)).toEqual(["code", "signal"]);
    expect(link.status().devices[0]).toMatchObject({ state: "unknown" });
    say("scanner", ["code", "A"], ["signal", 50]);
    say("scanner", ["code", "A"], ["signal", 52]);
    expect(scans.map(({ stream, samples }) => [stream, samples.map(({ value }) => value)])).toEqual([
      ["events", ["A"]],
      ["telemetry", [50]],
      ["events", ["A"]],
    ]);
    expect(link.status().devices[0]).toMatchObject({ state: "online" });
    // Silence is no fault: nothing is rebuilt, nothing turns bad.
    await time.pass(600_000);
    expect(drivers).toHaveLength(1);
    expect(scans).toHaveLength(3);
    await link.stop();
    expect(time.pending).toBe(0);
  });

  it("are bad while the link is down, and not a minute longer", async () => {
    const { time, scans, link, say, drivers } = setup([scanner]);
    await link.start();
    await time.pass(10);
    say("scanner", ["code", "A"]);
    drivers[0]?.cut();
    await settled();
    expect(scans.slice(1).map(({ samples }) => samples.map(({ reason }) => reason))).toEqual([
      ["link down"],
      ["link down"],
    ]);
    await time.pass(5_000);
    expect(link.status().state).toBe("connected");
    await time.pass(300_000);
    expect(scans).toHaveLength(3);
    say("scanner", ["code", "B"]);
    expect(scans.at(-1)?.samples).toMatchObject([{ quality: "good", value: "B" }]);
    await link.stop();
  });

  it("do not disturb those that are read, even in one group", async () => {
    const { time, scans, link, say } = setup([device("mixed", [tag("asked", 1000), tag("told", 1000, HEARD)])]);
    await link.start();
    await time.pass(10_000);
    say("mixed", ["told", 7], ["asked", 99]);
    await time.pass(10_000);
    const values = scans.flatMap(({ samples }) => samples.map(({ tag: name, value }) => `${name} ${value}`));
    expect(values.filter((each) => each === "told 7")).toHaveLength(1);
    expect(values.filter((each) => each === "asked 1").length).toBeGreaterThanOrEqual(19);
    expect(values).not.toContain("asked 99");
    await link.stop();
  });
});
