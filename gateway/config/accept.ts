import type { CaptureOptions } from "../core/options/broker.ts";
import type { CommandOptions } from "../core/options/commands.ts";
import { selectorOf } from "../core/selector.ts";
import { upstreamFilters } from "../northbound/index.ts";
import type { Faults } from "./faults.ts";
import { overlap } from "./topics.ts";
import type { LoadedLink, LoadedUplink } from "./types.ts";

/**
 * Whether something that goes up would come down again. It never goes round: what comes down is not captured. But local clients
 * would see it twice, unless the far side leaves our own messages out (no local, MQTT 5).
 */
export function checkAccept(
  uplinks: readonly LoadedUplink[],
  links: readonly LoadedLink[],
  capture: CaptureOptions,
  commands: CommandOptions,
  gatewayId: string,
  faults: Faults,
): void {
  for (const [index, { name, module, options, shared }] of uplinks.entries()) {
    const { accept = [], echoes = "never" } = module.policy?.(options, { name, gatewayId }) ?? {};
    for (const [at, { to }] of accept.entries()) {
      if (!overlap(to, `${commands.topic}/+/result`) || overlap(to, `${commands.topic}/+/write`)) continue;
      faults.add(
        ["uplinks", index, "accept", at, "to"],
        `results go up, not down; use ${commands.topic}/#, or other topics`,
      );
    }
    if (accept.length === 0 || echoes === "never") continue;
    const { matches } = selectorOf(shared.select);
    const groups = links.flatMap((link) => link.groups).filter(({ device }) => matches(device.topic));
    const sources = groups.map(({ device, everyMs }) => ({
      ...{ topic: device.topic, link: device.link, device: device.name, group: `${everyMs}ms`, tags: [] },
    }));
    const captured = capture
      .flatMap(({ topics }) => topics)
      .filter((filter) => shared.select.some((selected) => overlap(selected, filter)));
    const upstream = upstreamFilters(shared, gatewayId, sources, captured);
    for (const [at, { from }] of accept.entries()) {
      const same = upstream.find((filter) => overlap(filter, from));
      if (same === undefined) continue;
      const path = ["uplinks", index, "accept", at, "from"];
      const cure = 'use topics that differ, such as "up/{topic}" for "topic", or version: 5';
      const message = `what uplink "${name}" publishes on "${same}" comes down again`;
      if (echoes === "always") faults.add(path, `${message}: MQTT 3.1.1 gives us back our own; ${cure}`);
      else faults.warn(path, `${message} if the server speaks only MQTT 3.1.1; ${cure}`);
    }
  }
}
