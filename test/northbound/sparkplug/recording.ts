import { Buffer } from "node:buffer";
import type { Outgoing, Uplink, Verdict } from "../../../gateway/core/uplink.ts";
import { DataType } from "../../../gateway/northbound/sparkplug/datatype.ts";
import { live } from "../mqtt/harness.ts";
import { until } from "../until.ts";
import { captured, edgeNode, NOW, scan, type TestPlant, testPlant, tickingClock } from "./plant.ts";
import { NodeServer, type Visit } from "./server.ts";

/** What an edge node said over three connections, and what was asked of it between. */
export interface Recording {
  readonly version: 4 | 5;
  readonly aliases: boolean;
  readonly visits: readonly Visit[];
  readonly plant: TestPlant;
  /** How many messages had come when a rebirth was asked for. */
  readonly rebirthAt: number;
}

/** Hands messages over as the forwarder does, and waits for their verdicts. */
export async function deliver(uplink: Uplink, batch: readonly Outgoing[]): Promise<Verdict["kind"][]> {
  const kinds: Verdict["kind"][] = [];
  let left = batch.length;
  const done = new Promise<void>((resolve) => {
    const take = (index: number, { kind }: Verdict) => {
      kinds[index] = kind;
      if (--left === 0) resolve();
    };
    uplink.send(batch, take, live()).catch(() => {});
  });
  await done;
  return kinds;
}

/** A life with everything in it that an edge node can be asked to do. */
export async function record(version: 4 | 5, aliases: boolean): Promise<Recording> {
  const server = await new NodeServer().listen();
  const plant = testPlant();
  const clock = tickingClock();
  plant.read.set("press/count", { sample: { tag: "count", quality: "good", value: 7, monoMs: 1 }, wallMs: NOW - 50 });
  plant.read.set("press/run", { sample: { tag: "run", quality: "bad", reason: "x", monoMs: 1 }, wallMs: NOW - 90 });
  const make = edgeNode({ url: server.url, version, aliases }, { plant, clock });
  const first = make();
  let isLost = false;
  await first.connect(() => {
    isLost = true;
  }, live());
  for (let i = 0; i < 3; i++) {
    const batch = Array.from({ length: 100 }, (_, at) =>
      scan("press", [
        ["count", i * 100 + at],
        ["temperature", 21.4],
      ]),
    );
    await deliver(first, batch);
  }
  await deliver(first, [
    scan("oven", [["heat", 180.5]]),
    scan("press", [["temperature", 19.9]], { bootId: "boot-0" }),
    scan("press", [["count", 3]], {}, true),
    scan("press", [
      ["count", undefined, "bad", "timeout"],
      ["run", true],
    ]),
    scan("press", [
      ["count", 4],
      ["run", undefined, "stale"],
    ]),
    scan("press", [["pressure", 3.5]]),
    captured("plant/scan/1", "4711"),
  ]);
  plant.dead.add("oven");
  await deliver(first, [scan("oven", [["heat", undefined, "bad", "timeout"]])]);
  await deliver(first, [scan("oven", [["heat", 12]], {}, true)]);
  await until(() => {
    if (server.last.types.at(-1) !== "DDEATH oven") throw new Error("not yet buried");
  });
  plant.dead.delete("oven");
  await deliver(first, [scan("oven", [["heat", 181]])]);
  const rebirthAt = server.last.said.length;
  server.command(
    "spBv1.0/plant/NCMD/gw",
    [{ name: "Node Control/Rebirth", datatype: DataType.Boolean, value: true }],
    NOW,
  );
  await until(() => {
    if (server.last.said.length < rebirthAt + 3) throw new Error("not yet born again");
  });
  await deliver(first, [scan("press", [["count", 5]])]);
  server.command("spBv1.0/plant/DCMD/gw/press", [{ name: "count", datatype: DataType.UInt32, value: 9 }], NOW);
  await until(() => {
    if (plant.commands.length < 1) throw new Error("no command");
  });
  server.last.socket.resetAndDestroy();
  await until(() => {
    if (!isLost) throw new Error("not lost");
  });
  await first.close();
  const second = make();
  await second.connect(() => {}, live());
  await deliver(second, [scan("press", [["count", 6]])]);
  await second.close();
  const third = make();
  await third.connect(() => {}, live());
  await third.close();
  await until(() => {
    if (!server.visits.every(({ closed }) => closed)) throw new Error("still open");
  });
  await server.close();
  return { version, aliases, visits: server.visits, plant, rebirthAt };
}

export function textOf(payload: Uint8Array): string {
  return Buffer.from(payload).toString("utf8");
}
