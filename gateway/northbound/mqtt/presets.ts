import { formatDuration, formatSize } from "../../core/options/units.ts";
import type { OptionFault, TopicForm, TopicLimits, UplinkShared } from "../../core/uplink.ts";
import type { BatchOptions } from "../batcher.ts";
import type { MaxRate } from "../options.ts";
import type { MqttOptions } from "./options.ts";

export const PRESETS = [
  "generic",
  "aws-iot",
  "azure-iot-hub",
  "azure-event-grid",
  "hivemq",
  "emqx",
  "thingsboard",
] as const;
export type PresetName = (typeof PRESETS)[number];

/** What one kind of server takes, with room to its own limits: what is beyond them it discards, or closes the connection. */
export interface Preset {
  readonly inFlight: number;
  /** Bytes of one packet. */
  readonly maxBytes?: number;
  readonly maxRate: MaxRate;
  readonly keepalive: { readonly usualMs: number; readonly leastMs: number; readonly mostMs: number };
  readonly version: 4 | 5 | "auto";
  readonly retain: "keep" | "strip";
  readonly topics?: TopicLimits;
  /** The server knows only these topics. */
  readonly form?: TopicForm;
  readonly clientIdBytes?: number;
  readonly batch?: BatchOptions;
  /** Least pause between two connections. */
  readonly leastPauseMs?: number;
  readonly tls?: boolean;
}

const KIB = 1024;
const MINUTES_20 = 1_200_000;
const LONG = { usualMs: 60_000, leastMs: 1000, mostMs: MINUTES_20 };
const BATCH: BatchOptions = { count: 200, bytes: 64 * KIB, lingerMs: 1000 };

const TABLE: Readonly<Record<PresetName, Preset>> = {
  generic: {
    inFlight: 64,
    maxRate: {},
    keepalive: { usualMs: 15_000, leastMs: 1000, mostMs: MINUTES_20 },
    version: "auto",
    retain: "keep",
  },
  // 100 publishes and 512 KiB a second, the excess is discarded; 128 KB; 100 in flight; seven slashes; a CONNECT a second.
  "aws-iot": {
    inFlight: 50,
    maxBytes: 120 * KIB,
    maxRate: { messages: 80, bytes: 400 * KIB },
    keepalive: { usualMs: 60_000, leastMs: 30_000, mostMs: MINUTES_20 },
    version: "auto",
    retain: "keep",
    topics: { levels: 8, bytes: 256, charset: "utf8" },
    clientIdBytes: 128,
    batch: BATCH,
    leastPauseMs: 1100,
    tls: true,
  },
  // Tier S1; 256 KB; one topic for all, with a bag of properties.
  "azure-iot-hub": {
    inFlight: 10,
    maxBytes: 250 * KIB,
    maxRate: { messages: 10 },
    keepalive: { usualMs: 60_000, leastMs: 1000, mostMs: 1_177_000 },
    version: 4,
    retain: "strip",
    form: {
      record: "devices/{client}/messages/events/$.ct=application%2Fjson&$.ce=utf-8&topic={topic}",
      control: "devices/{client}/messages/events/$.ct=application%2Fjson&$.ce=utf-8&type={kind}",
    },
    clientIdBytes: 128,
    batch: BATCH,
    leastPauseMs: 1100,
    tls: true,
  },
  // 1000 messages and 1 MB a second, 512 KiB, 15 segments; retained messages close the connection.
  "azure-event-grid": {
    inFlight: 50,
    maxBytes: 500 * KIB,
    maxRate: { messages: 800, bytes: 800 * KIB },
    keepalive: { usualMs: 60_000, leastMs: 1000, mostMs: 1_160_000 },
    version: "auto",
    retain: "strip",
    topics: { levels: 15, bytes: 65_535, charset: "utf8" },
    clientIdBytes: 128,
    batch: BATCH,
    tls: true,
  },
  // Receive maximum 10.
  hivemq: { inFlight: 10, maxRate: {}, keepalive: LONG, version: "auto", retain: "keep", tls: true },
  // Serverless: 10 messages a second, 1 MB, ten levels.
  emqx: {
    inFlight: 20,
    maxBytes: 1000 * KIB,
    maxRate: { messages: 8 },
    keepalive: LONG,
    version: "auto",
    retain: "keep",
    topics: { levels: 10, bytes: 65_535, charset: "utf8" },
    batch: BATCH,
    leastPauseMs: 1100,
    tls: true,
  },
  // Fixed topics; 64 KiB in the default installation.
  thingsboard: {
    inFlight: 20,
    maxBytes: 60 * KIB,
    maxRate: { messages: 50 },
    keepalive: LONG,
    version: "auto",
    retain: "strip",
    form: { record: "v1/devices/me/telemetry", control: "v1/devices/me/telemetry", status: "v1/devices/me/attributes" },
    batch: { ...BATCH, bytes: 48 * KIB },
  },
};

export function presetOf({ preset }: Pick<MqttOptions, "preset">): Preset {
  return TABLE[preset];
}

/** What may be set lower than the preset says, and higher only by somebody who knows why. */
export function presetFaults(options: MqttOptions, shared: UplinkShared | undefined): OptionFault[] {
  const preset = presetOf(options);
  const name = options.preset;
  const found: OptionFault[] = [];
  const raised = (
    path: readonly string[],
    value: number | undefined,
    most: number | undefined,
    text: (n: number) => string,
  ) => {
    if (value === undefined || most === undefined || value <= most) return;
    const message = `${text(value)} is more than the preset ${name} has (${text(most)}): the server may discard it or close`;
    found.push({ path, message, warning: true });
  };
  raised(["inFlight"], options.inFlight, name === "generic" ? undefined : preset.inFlight, String);
  raised(["maxPacket"], options.maxPacket, preset.maxBytes, formatSize);
  raised(["maxRate", "messages"], shared?.maxRate.messages, preset.maxRate.messages, (n) => `${n} a second`);
  raised(["maxRate", "bytes"], shared?.maxRate.bytes, preset.maxRate.bytes, (n) => `${formatSize(n)} a second`);
  const { leastMs, mostMs } = preset.keepalive;
  const { keepalive, clientId, retain, version, url } = options;
  if (keepalive !== undefined && (keepalive < leastMs || keepalive > mostMs)) {
    const between = `${formatDuration(leastMs)} to ${formatDuration(mostMs)}`;
    found.push({ path: ["keepalive"], message: `${name} takes ${between}; choose one of these, or leave it out` });
  }
  if (retain === "keep" && preset.retain === "strip") {
    found.push({
      path: ["retain"],
      message: `${name} takes no retained messages; write retain: strip, or leave it out`,
    });
  }
  if (version !== undefined && preset.version === 4 && version !== 4) {
    found.push({ path: ["version"], message: `${name} speaks only MQTT 3.1.1; write version: 4, or leave it out` });
  }
  if (
    preset.clientIdBytes !== undefined &&
    clientId !== undefined &&
    Buffer.byteLength(clientId) > preset.clientIdBytes
  ) {
    found.push({
      path: ["clientId"],
      message: `${name} takes at most ${preset.clientIdBytes} bytes; use a shorter one`,
    });
  }
  if (preset.form?.record.includes("{client}") === true && clientId === undefined) {
    found.push({ path: ["preset"], message: `${name} needs the device's id there: write clientId: <device id>` });
  }
  if (name === "thingsboard" && shared?.encoder === "values") {
    const message =
      "with one topic for all and the encoder values, tags of devices that have the same name mix; write encoder: thingsboard";
    found.push({ path: ["preset"], message, warning: true });
  }
  if (preset.tls === true && /^(mqtt|ws):/.test(url)) {
    found.push({ path: ["url"], message: `${name} takes only TLS outside a test; write mqtts://`, warning: true });
  }
  return found;
}
