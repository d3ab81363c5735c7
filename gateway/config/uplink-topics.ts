import { selectorOf } from "../core/selector.ts";
import type { Faults } from "./faults.ts";
import type { LoadedLink, LoadedUplink } from "./types.ts";

/** Whether each uplink's far side takes the topics of the devices it selects; captured topics are only known when they come. */
export function checkUplinkTopics(
  uplinks: readonly LoadedUplink[],
  links: readonly LoadedLink[],
  gatewayId: string,
  faults: Faults,
): void {
  for (const [index, { name, module, options, shared }] of uplinks.entries()) {
    const selector = selectorOf(shared.select);
    for (const [at, { devices }] of links.entries()) {
      for (const [i, { topic }] of devices.entries()) {
        if (!selector.matches(topic)) continue;
        const upstream = shared.topic.replaceAll("{gateway}", gatewayId).replaceAll("{topic}", topic);
        const fault = module.topicFault?.(options, upstream);
        if (fault === undefined) continue;
        const line = faults.position(["uplinks", index]).line;
        faults.add(["links", at, "devices", i], `for uplink "${name}" (line ${line}): ${fault}`);
      }
    }
  }
}
