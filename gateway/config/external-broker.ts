import type { BrokerOptions, CaptureOptions } from "../core/options/broker.ts";
import type { ExternalBrokerOptions } from "../core/options/external-broker.ts";
import { mqttPlace } from "../core/options/mqtt-server.ts";
import { filterCovers } from "../core/selector.ts";
import { serverFaults } from "../northbound/index.ts";
import { isRecord } from "./explain.ts";
import type { Faults } from "./faults.ts";
import { sections } from "./section-schemas.ts";
import { parseWith } from "./sections.ts";
import { overlap } from "./topics.ts";
import type { LoadedUplink } from "./types.ts";

const PATH = ["broker", "external"] as const;

/** Reads `broker`, whose `external` may be a URL alone. Faults are added. */
export function readBroker(raw: unknown, faults: Faults): BrokerOptions | undefined {
  if (!isRecord(raw) || !("external" in raw)) return parseWith(sections.broker, raw, ["broker"], faults);
  const { external, ...rest } = raw;
  const broker = parseWith(
    sections.broker,
    typeof external === "string" ? { ...rest, external: { url: external } } : raw,
    ["broker"],
    faults,
  );
  for (const key of Object.keys(rest)) {
    if (!(key in sections.broker.unwrap().shape)) continue;
    faults.addKey(["broker"], key, `"${key}" is for the embedded broker, and "external" takes its place; remove one`);
  }
  if (broker?.external) {
    for (const { path, message } of serverFaults(broker.external)) faults.add([...PATH, ...path], message);
  }
  return broker;
}

interface Around {
  readonly capture: CaptureOptions;
  readonly uplinks: readonly LoadedUplink[];
  readonly gatewayId: string;
}

/** What goes round in circles, and what some brokers send twice. */
export function checkExternal({ external }: BrokerOptions, around: Around, faults: Faults): void {
  if (!external) return;
  checkCircles(external, around, faults);
  checkDown(external, around, faults);
  const filters = around.capture.flatMap(({ topics }, rule) =>
    topics.map((filter, index) => ({ filter, path: ["capture", rule, "topics", index] })),
  );
  for (const [index, { filter, path }] of filters.entries()) {
    const other = filters.slice(0, index).find((one) => one.filter !== filter && crosses(one.filter, filter));
    if (!other) continue;
    faults.warn(
      path,
      `crosses "${other.filter}": some brokers send twice what matches both; one wider filter is better`,
    );
  }
}

/** Whether both match some topics, and each of them others too. */
function crosses(one: string, other: string): boolean {
  return overlap(one, other) && !filterCovers(one, other) && !filterCovers(other, one);
}

/** An uplink to the same broker whose topics are captured again. */
function checkCircles(external: ExternalBrokerOptions, { capture, uplinks, gatewayId }: Around, faults: Faults): void {
  const local = new Set([external.url, ...external.urls].map(placeText));
  const filters = capture.flatMap(({ topics }) => topics);
  for (const [index, { shared, options }] of uplinks.entries()) {
    const url = isRecord(options) ? options["url"] : undefined;
    if (typeof url !== "string" || !local.has(placeText(url))) continue;
    const sent = filters.map((filter) => sentAs(shared.topic, filter, gatewayId));
    const back = sent.find((one) => filters.some((filter) => overlap(one, filter)));
    if (back === undefined || shared.map.length > 0) continue;
    faults.add(
      ["uplinks", index, "url"],
      `is the local broker (broker.external), where ${back} is captured again, for ever; send elsewhere, or to topics that no rule of capture matches`,
    );
  }
}

/** What an uplink brings down to topics that are captured. MQTT 5 leaves our own messages out; 3.1.1 does not. */
function checkDown({ version }: ExternalBrokerOptions, { capture, uplinks, gatewayId }: Around, faults: Faults): void {
  if (version === 5) return;
  const filters = capture.flatMap(({ topics }) => topics);
  for (const [index, { name, module, options }] of uplinks.entries()) {
    const { accept = [] } = module.policy?.(options, { name, gatewayId }) ?? {};
    for (const [at, { to }] of accept.entries()) {
      const same = filters.find((filter) => overlap(filter, to));
      if (same === undefined) continue;
      const path = ["uplinks", index, "accept", at, "to"];
      const message = `comes down to "${to}", which "${same}" of capture takes up again`;
      const cure = "use topics that no rule of capture matches, or version: 5 for broker.external";
      if (version === 4) faults.add(path, `${message}: MQTT 3.1.1 gives us back our own; ${cure}`);
      else faults.warn(path, `${message} if the local broker speaks only MQTT 3.1.1; ${cure}`);
    }
  }
}

/** The filter of what is sent upstream of what a filter captures; every placeholder that is not the topic is any level. */
function sentAs(template: string, filter: string, gatewayId: string): string {
  const topic = template.replaceAll("{gateway}", gatewayId).replaceAll("{topic}", filter);
  const levels = topic.split("/").map((level) => (level.includes("{") ? "+" : level));
  const end = levels.indexOf("#");
  return (end < 0 ? levels : levels.slice(0, end + 1)).join("/");
}

function placeText(url: string): string {
  const { host, port } = mqttPlace(url);
  return `${host === "localhost" ? "127.0.0.1" : host}:${port}`;
}
