import type { CommandMessage } from "./commands/commands.ts";
import type { LoadedConfig, LoadedUplink } from "./config/types.ts";
import type { Plant, PlantDevice, PlantSample } from "./core/plant.ts";
import { selectorOf } from "./core/selector.ts";
import type { Link } from "./southbound/link.ts";
import type { Scan } from "./southbound/scan.ts";

/** The newest sample of each tag, over all devices. */
export class Newest {
  readonly #samples = new Map<string, Map<string, PlantSample>>();

  take({ device, taken, samples }: Scan): void {
    let tags = this.#samples.get(device.name);
    if (tags === undefined) {
      tags = new Map();
      this.#samples.set(device.name, tags);
    }
    for (const sample of samples) {
      tags.set(sample.tag, { sample, wallMs: taken.wallMs + Math.round(sample.monoMs - taken.monoMs) });
    }
  }

  get(device: string, tag: string): PlantSample | undefined {
    return this.#samples.get(device)?.get(tag);
  }
}

export interface PlantParts {
  readonly link: (name: string) => Link | undefined;
  readonly command: (message: CommandMessage) => Promise<void>;
}

/** The plant as each uplink sees it: the devices that it selects, as the configuration has them when it starts. */
export function plantOf(
  config: Pick<LoadedConfig, "links" | "commands">,
  newest: Newest,
  parts: PlantParts,
): (uplink: LoadedUplink) => Plant {
  const answers = (name: string) => {
    const loaded = config.links.find(({ devices }) => devices.some((one) => one.name === name));
    const status = loaded && parts.link(loaded.name)?.status();
    if (status === undefined) return true;
    const device = status.devices.find((one) => one.name === name);
    return status.state !== "down" && status.state !== "failed" && device?.state !== "offline";
  };
  const command = (device: string, payload: Uint8Array, from: string) =>
    parts.command({ topic: `${config.commands.topic}/${device}/write`, payload, retain: false, from });
  return ({ shared }) => {
    const selector = selectorOf(shared.select);
    const devices = config.links
      .flatMap((link) => link.devices)
      .filter(({ topic }) => selector.matches(topic))
      .map(({ name, tags, derived = [] }): PlantDevice => ({ name, tags: [...tags, ...derived] }));
    return { devices, newest: (device, tag) => newest.get(device, tag), answers, command };
  };
}
