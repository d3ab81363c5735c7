import type { LoadedConfig } from "../config/types.ts";
import type { Clock } from "../core/clock.ts";
import type { Queue } from "../core/queue.ts";
import { STREAMS } from "../core/record.ts";
import type { UplinkBrief, UplinkView } from "../http/api/schemas.ts";
import type { ForwarderStatus } from "../northbound/forwarder.ts";
import { certificatesOf } from "./certificates.ts";
import { given } from "./given.ts";

interface Parts {
  readonly config: LoadedConfig;
  readonly clock: Clock;
  readonly uplinks: () => readonly ForwarderStatus[];
  readonly queue: Pick<Queue, "stats">;
}

/** An uplink in a few numbers; undefined where there is none of this name. */
export function uplinkBrief({ config, uplinks, queue }: Parts, name: string): UplinkBrief | undefined {
  const loaded = config.uplinks.find((one) => one.name === name);
  const status = uplinks().find((one) => one.name === name);
  if (!loaded || !status) return undefined;
  const debt = queue.stats().uplinks.find((one) => one.name === name);
  const streams = STREAMS.flatMap((stream) => debt?.streams[stream] ?? []);
  const oldest = streams.flatMap(({ oldestWallMs }) => oldestWallMs ?? []);
  return {
    name,
    type: loaded.module.name,
    state: status.state,
    since: status.sinceMs,
    backlog: streams.reduce((sum, { depth }) => sum + depth, 0),
    backlogBytes: streams.reduce((sum, { bytes }) => sum + bytes, 0),
    gapsPending: debt?.gapsPending ?? 0,
    inFlight: status.inFlight,
    deadLetters: status.deadLetters?.records ?? 0,
    ...given("oldest", oldest.length === 0 ? undefined : Math.min(...oldest)),
    ...given("secondsToDrain", debt?.secondsToDrain),
    ...given("lastError", status.lastError),
    ...given("alarm", status.alarm),
  };
}

/** All of it, with certificates. */
export async function uplinkView(parts: Parts, name: string): Promise<UplinkView | undefined> {
  const { config, uplinks, queue, clock } = parts;
  const loaded = config.uplinks.find((one) => one.name === name);
  const brief = uplinkBrief(parts, name);
  const status = uplinks().find((one) => one.name === name);
  if (!loaded || !brief || !status) return undefined;
  const { select, order, maxRate, maxBacklog } = loaded.shared;
  return {
    ...brief,
    select: [...select],
    order,
    retrying: status.retrying,
    connections: status.connections,
    ...given("limits", status.limits && { ...status.limits }),
    maxRate: { ...given("messages", maxRate.messages), ...given("bytes", maxRate.bytes) },
    maxBacklog: {
      ...given("bytes", maxBacklog.bytes),
      ...given("age", maxBacklog.age),
      ...given("retain", maxBacklog.retain),
    },
    ...given("backfill", status.backfill && { ...status.backfill }),
    streams: { ...queue.stats().uplinks.find((one) => one.name === name)?.streams },
    certificates: await certificatesOf(loaded.options, config.folder, clock.now().wallMs),
  };
}
