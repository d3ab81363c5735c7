import { type Logger, silentLogger } from "../../../gateway/core/log.ts";
import { noMetrics } from "../../../gateway/core/metrics.ts";
import { Secret } from "../../../gateway/core/secret.ts";
import type { Outgoing, Uplink, UplinkContext } from "../../../gateway/core/uplink.ts";
import { mqttModule } from "../../../gateway/northbound/mqtt/module.ts";

export const WILL: Outgoing = {
  topic: "gw/status",
  payload: Buffer.from('{"state":"offline"}'),
  qos: 1,
  retain: true,
  properties: [],
};

export function context(over: Partial<UplinkContext> = {}): UplinkContext {
  return {
    name: "cloud",
    gatewayId: "gw",
    log: silentLogger,
    metrics: noMetrics,
    will: WILL,
    secret: () => new Secret("hunter2", "env TEST"),
    path: (relative) => relative,
    ...over,
  };
}

/** An MQTT uplink from options as a person writes them. */
export function mqttUplink(options: Record<string, unknown>, over: Partial<UplinkContext> = {}): Uplink {
  return mqttModule.create(mqttModule.schema.parse(options), context(over));
}

export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A logger that keeps its lines. */
export function recordingLogger(): { readonly log: Logger; readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: LogLine["level"]) => (fields: object, message: string) => {
    lines.push({ level, message, fields: { ...fields } });
  };
  const log: Logger = {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: () => log,
  };
  return { log, lines };
}

export const live = () => new AbortController().signal;
