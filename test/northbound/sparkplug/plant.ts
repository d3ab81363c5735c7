import type { Clock } from "../../../gateway/core/clock.ts";
import type { Tag } from "../../../gateway/core/driver.ts";
import type { Plant, PlantSample } from "../../../gateway/core/plant.ts";
import type { Entry, StoredSample } from "../../../gateway/core/record.ts";
import type { Quality, Value } from "../../../gateway/core/sample.ts";
import type { Outgoing, Uplink, UplinkContext } from "../../../gateway/core/uplink.ts";
import { recordEncoder } from "../../../gateway/northbound/encoders/record.ts";
import { sparkplugModule } from "../../../gateway/northbound/sparkplug/module.ts";
import { topicMapper } from "../../../gateway/northbound/topics.ts";
import { context } from "../mqtt/harness.ts";

export const NOW = 1_732_300_000_000;

/** A clock that goes on by a millisecond each time it is looked at. */
export function tickingClock(): Clock & { readonly wallMs: number } {
  let ticks = 0;
  return {
    bootId: "boot-1",
    now: () => ({ wallMs: NOW + ++ticks, monoMs: 1000 + ticks, clock: "synced" }),
    get wallMs() {
      return NOW + ticks;
    },
  };
}

const tag = (name: string, type: string, more: Partial<Tag> = {}): Tag => ({
  ...{ name, type, everyMs: 1000, stream: "telemetry", options: {} },
  ...more,
});

export const PRESS: readonly Tag[] = [tag("temperature", "float32"), tag("count", "uint32"), tag("run", "bool")];
export const OVEN: readonly Tag[] = [tag("heat", "int16", { options: { scale: 0.1 } })];

export interface TestPlant extends Plant {
  readonly commands: { readonly device: string; readonly body: Record<string, unknown>; readonly from: string }[];
  readonly read: Map<string, PlantSample>;
  readonly dead: Set<string>;
}

/** A press and an oven. */
export function testPlant(
  devices = [
    { name: "press", tags: PRESS },
    { name: "oven", tags: OVEN },
  ],
): TestPlant {
  const commands: TestPlant["commands"] = [];
  const read = new Map<string, PlantSample>();
  const dead = new Set<string>();
  return {
    devices,
    commands,
    read,
    dead,
    newest: (device, name) => read.get(`${device}/${name}`),
    answers: (device) => !dead.has(device),
    command(device, body, from) {
      commands.push({ device, body: JSON.parse(Buffer.from(body).toString()), from });
      return Promise.resolve();
    },
  };
}

export type Told = readonly [tag: string, value: Value | undefined, quality?: Quality, reason?: string];

let seq = 0;
/** A record as the forwarder hands it over. */
export function scan(device: string, told: readonly Told[], over: Partial<Entry> = {}, historical = false): Outgoing {
  const samples = told.map(
    ([name, value, quality = "good", reason]): StoredSample => ({
      ...{ tag: name, quality, offsetMs: 0 },
      ...(value === undefined ? {} : { value }),
      ...(reason === undefined ? {} : { reason }),
    }),
  );
  const tags = told.map(([name]) => ({ name, type: "float32" }));
  const source = { link: "plc", device, group: "1000ms", topic: `plant/${device}`, tags };
  return outgoing({ content: { kind: "samples", source, samples }, ...over }, historical);
}

export function captured(topic: string, payload: string | Uint8Array): Outgoing {
  const content = { kind: "message", topic, payload: Buffer.from(payload), qos: 1, retain: false } as const;
  return outgoing({ content });
}

function outgoing(over: Partial<Entry> & Pick<Entry, "content">, historical = false): Outgoing {
  const entry: Entry = {
    ...{ stream: "telemetry", seq: ++seq, epoch: 1, prev: seq - 1, chain: "c", bootId: "boot-1", bytes: 100 },
    ...{ monoMs: 1e9, wallMs: NOW + 500_000 + seq, clock: "synced" },
    ...over,
  };
  const topics = topicMapper("{topic}", "gw");
  const [made] = recordEncoder.encode(entry, { gatewayId: "gw", topics, envelope: false, historical });
  if (made === undefined) throw new Error("no message");
  return made;
}

/** The uplink of a gateway `gw` in the group `plant`; the function makes one for each connection, as the forwarder does. */
export function edgeNode(options: Record<string, unknown>, over: Partial<UplinkContext> = {}): () => Uplink {
  const parsed = sparkplugModule.schema.parse({ group: "plant", afterBirth: "0ms", ...options });
  const made = context({ clock: tickingClock(), plant: testPlant(), ...over });
  return () => sparkplugModule.create(parsed, made);
}
