import type { ServerLimits } from "./broker-limits.ts";

const KIB = 1024;

/** What the clouds themselves allow, as their documentation says; apart from the presets, which stay below. */
export const CLOUDS: Readonly<Record<string, { readonly limits: ServerLimits; readonly only?: 4 }>> = {
  "aws-iot": {
    limits: {
      publishesPerSecond: 100,
      bytesPerSecond: 512 * KIB,
      connectsPerSecond: 1,
      inFlight: 100,
      maxPayload: 128 * KIB,
      topicLevels: 8,
      topicBytes: 256,
      maxQos: 1,
      keepaliveS: [30, 1200],
      clientIdBytes: 128,
    },
  },
  "azure-iot-hub": {
    only: 4,
    limits: {
      publishesPerSecond: 12,
      connectsPerSecond: 1,
      inFlight: 16,
      maxPayload: 256 * KIB,
      topicPattern: /^devices\/press-shop-01\/messages\/events\/\S+$/,
      maxQos: 1,
      keepaliveS: [1, 1177],
      retain: false,
      willRetain: false,
    },
  },
  "azure-event-grid": {
    limits: {
      publishesPerSecond: 1000,
      bytesPerSecond: 1_000_000,
      inFlight: 1000,
      maxPayload: 512 * KIB,
      topicLevels: 15,
      maxQos: 1,
      keepaliveS: [1, 1160],
      retain: false,
      willRetain: false,
    },
  },
  hivemq: { limits: { inFlight: 10 } },
  emqx: { limits: { publishesPerSecond: 10, maxPacket: 1024 * KIB, topicLevels: 10, clientIdBytes: 1024 } },
  thingsboard: {
    limits: {
      publishesPerSecond: 100,
      maxPayload: 64 * KIB,
      topicPattern: /^v1\/devices\/me\/(telemetry|attributes)$/,
      retain: false,
    },
  },
  generic: { limits: {} },
};
