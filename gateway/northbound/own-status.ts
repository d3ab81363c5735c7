import type { Clock } from "../core/clock.ts";
import type { Queue } from "../core/queue.ts";
import type { Outgoing } from "../core/uplink.ts";
import { statusMessage, statusStream } from "./control.ts";
import type { TopicMapper } from "./topics.ts";

export interface OwnStatusContext {
  readonly name: string;
  readonly gatewayId: string;
  readonly queue: Queue;
  readonly clock: Clock;
  readonly topics: TopicMapper;
}

/** The gateway's status for one uplink, as of now. */
export function ownStatus(context: OwnStatusContext, state: "online" | "offline"): Outgoing {
  const { name, gatewayId, queue, clock, topics } = context;
  const stats = queue.stats();
  const own = stats.uplinks.find((one) => one.name === name);
  const now = clock.now();
  return statusMessage(topics, {
    state,
    gateway: gatewayId,
    uplink: name,
    ...(now.clock === "synced" ? { ts: Math.round(now.wallMs) } : { clock: now.clock, mono: Math.round(now.monoMs) }),
    boot: clock.bootId,
    streams: {
      events: statusStream(stats.streams.events.epoch, own, "events"),
      telemetry: statusStream(stats.streams.telemetry.epoch, own, "telemetry"),
    },
  });
}
