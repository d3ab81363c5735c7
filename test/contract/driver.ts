import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Device, type Driver, TimeoutError } from "../../gateway/core/driver.ts";
import { ConfigError, NotConnectedError } from "../../gateway/core/errors.ts";
import type { Sample } from "../../gateway/core/sample.ts";

/** A driver, not yet connected, and the far side it speaks to. */
export interface DriverBench {
  readonly driver: Driver;
  /** Answers at once, has at least two tags, and all of them are good. */
  readonly device: Device;
  /** On the same link, with at least one tag, and never answers. Absent where there is no such thing. */
  readonly silent?: Device;
  /** On the same link, with at least one tag, and says something when `speak` is called. Absent where nothing speaks unasked. */
  readonly speaker?: Device;
  speak?(): void;
  /** Ends the connection from the far side, which stays reachable. Absent where nothing can be cut. */
  cut?(): Promise<void>;
  /** A driver whose far side does not exist. Absent where connecting cannot fail. */
  readonly unreachable?: Driver;
  /** Called after every case; the driver was closed by then. */
  stop(): Promise<void>;
}

const QUALITIES = ["good", "bad", "stale"];

/** What every driver promises: each method before connect, after close, aborted, and with the far side gone. */
export function driverContract(name: string, open: () => Promise<DriverBench>): void {
  describe(`${name} keeps the driver contract`, () => {
    let bench: DriverBench;

    beforeEach(async () => {
      bench = await open();
    });
    afterEach(async () => {
      await bench.driver.close();
      await bench.unreachable?.close();
      await bench.stop();
    });

    it("plans every tag exactly once, without a connection", () => {
      const { device, driver } = bench;
      const planned = driver.plan(device, device.tags, {}).flatMap((request) => request.tags.map((tag) => tag.name));
      expect(planned.sort()).toEqual(device.tags.map((tag) => tag.name).sort());
      expect(driver.plan(device, [], {})).toEqual([]);
      expect(driver.concurrency).toBeGreaterThanOrEqual(1);
    });

    it("labels every request and predicts its time on the wire", () => {
      const { device, driver } = bench;
      for (const request of driver.plan(device, device.tags, {})) {
        expect(request.label).not.toBe("");
        expect(request.device).toBe(device);
        expect(request.wireMs).toBeGreaterThanOrEqual(0);
      }
    });

    it("gives exactly one sample per tag of a request", async () => {
      await bench.driver.connect(live());
      const samples = await readAll(bench, bench.device);
      expect(samples.map((sample) => sample.tag).sort()).toEqual(bench.device.tags.map((tag) => tag.name).sort());
      for (const sample of samples) {
        expect(sample).toMatchObject({ quality: "good" });
        expect(sample.value).toBeDefined();
        expect(Number.isFinite(sample.monoMs)).toBe(true);
        expect(QUALITIES).toContain(sample.quality);
      }
    });

    it("says before connect that there is no connection", async () => {
      await expect(readAll(bench, bench.device)).rejects.toBeInstanceOf(NotConnectedError);
      if (bench.driver.probe) {
        await expect(bench.driver.probe(bench.device, live())).rejects.toBeInstanceOf(NotConnectedError);
      }
    });

    it("says after close that there is no connection", async () => {
      await bench.driver.connect(live());
      await bench.driver.close();
      await expect(readAll(bench, bench.device)).rejects.toBeInstanceOf(NotConnectedError);
    });

    it("closes twice, and before it ever connected", async () => {
      await bench.driver.close();
      await bench.driver.connect(live());
      await bench.driver.close();
      await bench.driver.close();
    });

    it("connects again after it was closed", async () => {
      for (let round = 0; round < 3; round++) {
        await bench.driver.connect(live());
        await readAll(bench, bench.device);
        await bench.driver.close();
      }
    });

    it("passes on the reason of a signal that was aborted before the call", async () => {
      const reason = new Error("stopped");
      const aborted = AbortSignal.abort(reason);
      await expect(bench.driver.connect(aborted)).rejects.toBe(reason);
      await bench.driver.connect(live());
      const [request] = bench.driver.plan(bench.device, bench.device.tags, {});
      if (!request) throw new Error("nothing planned");
      await expect(bench.driver.read(request, aborted)).rejects.toBe(reason);
      if (bench.driver.probe) await expect(bench.driver.probe(bench.device, aborted)).rejects.toBe(reason);
      await readAll(bench, bench.device);
    });

    it("the signal of connect does not bound the connection", async () => {
      const connecting = new AbortController();
      await bench.driver.connect(connecting.signal);
      connecting.abort(new Error("too late to matter"));
      await readAll(bench, bench.device);
    });

    it("finds a unit alive that answers", async () => {
      await bench.driver.connect(live());
      await bench.driver.probe?.(bench.device, live());
    });

    it("tells a silent unit from a lost connection, and goes on with the others", async ({ skip }) => {
      const { driver, silent } = bench;
      if (!silent) return skip();
      await driver.connect(live());
      await expect(readAll(bench, silent)).rejects.toBeInstanceOf(TimeoutError);
      if (driver.probe) await expect(driver.probe(silent, live())).rejects.toBeInstanceOf(TimeoutError);
      expect(await readAll(bench, bench.device)).toHaveLength(bench.device.tags.length);
    });

    it("passes on the reason of a signal that is aborted during a read, and goes on", async ({ skip }) => {
      const { driver, silent } = bench;
      if (!silent) return skip();
      await driver.connect(live());
      const reason = new Error("enough");
      const controller = new AbortController();
      const reading = readAll(bench, silent, controller.signal);
      controller.abort(reason);
      await expect(reading).rejects.toBe(reason);
      expect(await readAll(bench, bench.device)).toHaveLength(bench.device.tags.length);
    });

    it("settles a read in flight when it is closed", async ({ skip }) => {
      const { driver, silent } = bench;
      if (!silent) return skip();
      await driver.connect(live());
      const reading = expect(readAll(bench, silent)).rejects.toBeInstanceOf(NotConnectedError);
      await driver.close();
      await reading;
    });

    it("notices that the connection is gone, does not reconnect by itself, and connects again", async ({ skip }) => {
      const { cut, driver } = bench;
      if (!cut) return skip();
      await driver.connect(live());
      await readAll(bench, bench.device);
      await cut();
      await expect(readAll(bench, bench.device)).rejects.toBeInstanceOf(NotConnectedError);
      await expect(readAll(bench, bench.device)).rejects.toBeInstanceOf(NotConnectedError);
      await driver.connect(live());
      await readAll(bench, bench.device);
    });

    it("says that it cannot connect, as often as it is asked", async ({ skip }) => {
      const { unreachable } = bench;
      if (!unreachable) return skip();
      await expect(unreachable.connect(live())).rejects.toBeInstanceOf(NotConnectedError);
      await expect(unreachable.connect(live())).rejects.toBeInstanceOf(NotConnectedError);
    });

    it("listens to what is said unasked, beside the reads, until the signal aborts", async ({ skip }) => {
      const { driver, speaker, speak } = bench;
      if (!speaker || !speak || !driver.listen) return skip();
      const ending = new AbortController();
      const heard: Sample[] = [];
      await expect(driver.listen(speaker, speaker.tags, () => {}, ending.signal)).rejects.toBeInstanceOf(
        NotConnectedError,
      );
      await driver.connect(live());
      const listening = driver.listen(speaker, speaker.tags, (samples) => void heard.push(...samples), ending.signal);
      await readAll(bench, bench.device);
      expect(heard).toEqual([]);
      speak();
      await vi.waitFor(() => expect(heard.map((sample) => sample.quality)).toContain("good"));
      await readAll(bench, bench.device);
      ending.abort(new Error("enough"));
      await listening;
      const before = heard.length;
      speak();
      await readAll(bench, bench.device);
      expect(heard.length).toBe(before);
      await driver.listen(speaker, speaker.tags, () => {}, ending.signal);
    });

    it("says while it listens that the connection is gone", async ({ skip }) => {
      const { cut, driver, speaker } = bench;
      if (!speaker || !driver.listen) return skip();
      await driver.connect(live());
      await readAll(bench, bench.device);
      const listening = expect(driver.listen(speaker, speaker.tags, () => {}, live())).rejects.toBeInstanceOf(
        NotConnectedError,
      );
      await (cut ? cut() : driver.close());
      await listening;
    });

    it("names the tag that cannot be planned", () => {
      const [tag] = bench.device.tags;
      if (!tag) throw new Error("a bench has tags");
      const broken = { ...tag, name: "broken-one", options: {} };
      let thrown: unknown;
      try {
        bench.driver.plan(bench.device, [broken], {});
      } catch (error) {
        thrown = error;
      }
      // Some drivers have no tag options that can be wrong.
      if (thrown !== undefined) {
        expect(thrown).toBeInstanceOf(ConfigError);
        expect(String(thrown)).toContain("broken-one");
      }
    });
  });
}

async function readAll({ driver }: DriverBench, device: Device, signal = live()): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (const request of driver.plan(device, device.tags, {})) samples.push(...(await driver.read(request, signal)));
  return samples;
}

function live(): AbortSignal {
  return new AbortController().signal;
}
