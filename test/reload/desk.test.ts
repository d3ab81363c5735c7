import { beforeEach, describe, expect, it } from "vitest";
import { checkText } from "../../gateway/config/load.ts";
import type { LoadedConfig } from "../../gateway/config/types.ts";
import type { Auditor } from "../../gateway/core/audit.ts";
import { ConfigError } from "../../gateway/core/errors.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { type Life, ReloadDesk } from "../../gateway/reload/desk.ts";

const text = (uplink: string, http = 8080) =>
  `gateway: { id: gw, dataDir: /nowhere/millrace }\nhttp: { port: ${http} }\nuplinks: [ { name: ${uplink}, type: mqtt, url: "mqtt://127.0.0.1:1" } ]\n`;
const load = (of: string) => checkText(of, "millrace.yaml", "/", {});

class FakeLife implements Life {
  readonly followed: string[] = [];
  readonly notes: string[] = [];
  fault: Error | undefined;
  follow(next: LoadedConfig): Promise<void> {
    this.followed.push(...next.uplinks.map(({ name }) => name));
    return this.fault ? Promise.reject(this.fault) : Promise.resolve();
  }
  readonly trail: Auditor = {
    record: ({ actor, outcome, detail }) => {
      this.notes.push(`${actor} ${outcome}: ${detail}`);
      return Promise.resolve();
    },
  };
  condition(): ReadonlyMap<string, boolean> {
    return new Map();
  }
}

let file: string;
let life: FakeLife;
let desk: ReloadDesk;
beforeEach(async () => {
  file = text("cloud");
  life = new FakeLife();
  desk = new ReloadDesk({ load: () => load(file), log: silentLogger });
  void desk.runs(life, await load(file));
});

describe("the desk", () => {
  it("lets the life follow, and compares with what runs then", async () => {
    file = text("edge");
    expect((await desk.plan()).steps).toHaveLength(2);
    await desk.reload("anna");
    expect(life.followed).toEqual(["edge"]);
    expect(life.notes[0]).toMatch(/^anna ok: stop uplink cloud .*; start uplink edge \(new\)$/);
    expect(desk.state).toMatchObject({ number: 1, state: "applied" });
    expect((await desk.plan()).steps).toEqual([]);
  });

  it("touches nothing for a file with faults, and tells them all", async () => {
    file = "gateway: { id: gw }\nlinks: 7\nnonsense: 1\n";
    await expect(desk.reload("SIGHUP")).rejects.toThrow(/links[\s\S]*nonsense/);
    expect(life.followed).toEqual([]);
    expect(life.notes[0]).toMatch(/^SIGHUP failed: /);
    expect(desk.state.state).toBe("failed");
  });

  it("asks for another life where a section changed, and tells that one", async () => {
    const turning = desk.runs(life, await load(file));
    file = text("cloud", 9090);
    const done = desk.reload("anna");
    const turn = await turning;
    expect(turn.config.http.port).toBe(9090);
    const next = new FakeLife();
    void desk.runs(next, turn.config);
    turn.done();
    expect(await done).toMatchObject({ whole: true });
    expect(next.notes[0]).toMatch(/^anna ok: restart http \(port changed\)$/);
    expect(life.notes).toEqual([]);
  });

  it("goes back where it does not start: rejects once what ran before runs", async () => {
    const before = await load(file);
    const turning = desk.runs(life, before);
    file = text("cloud", 9090);
    const done = desk.reload("anna");
    const turn = await turning;
    turn.failed(new ConfigError("the data folder is in use"));
    const again = new FakeLife();
    void desk.runs(again, before);
    await expect(done).rejects.toThrow("did not start: the data folder is in use");
    expect(again.notes[0]).toMatch(/^anna failed: did not start/);
    expect(desk.config).toBe(before);
  });

  it("restarts the whole with what ran before when a part does not start", async () => {
    const before = await load(file);
    const turning = desk.runs(life, before);
    life.fault = new Error("no room");
    file = text("edge");
    const done = desk.reload("anna");
    const turn = await turning;
    expect(turn.config).toBe(before);
    void desk.runs(new FakeLife(), before);
    turn.done();
    await expect(done).rejects.toThrow("did not start: no room");
  });

  it("does one after the other", async () => {
    file = text("one");
    const first = desk.reload("anna");
    const second = desk.reload("bert");
    await Promise.all([first, second]);
    expect(life.notes.map((note) => note.slice(0, 10))).toEqual(["anna ok: s", "bert ok: n"]);
  });
});
