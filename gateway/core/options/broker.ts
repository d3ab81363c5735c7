import { z } from "zod";
import { streamName } from "./gateway.ts";
import { duration, size } from "./units.ts";

export const listenerOptions = z.strictObject({
  type: z.literal("tcp").default("tcp").describe("Transport."),
  host: z.string().min(1).default("127.0.0.1").describe("Address to listen on; only loopback may be anonymous."),
  port: z.number().int().min(0).max(65_535).default(1883).describe("TCP port; 0 takes a free one."),
});

export const brokerLimits = z.strictObject({
  maxPacket: size(128).prefault("256KiB").describe("Greatest MQTT packet a client may announce."),
  connectTimeout: duration(100).prefault("10s").describe("Time for a complete CONNECT after the connection."),
  maxConnections: z.number().int().min(1).default(500).describe("Connections in all."),
  maxConnectionsPerAddress: z.number().int().min(1).default(100).describe("Connections from one address."),
});

export const brokerOptions = z.strictObject({
  listeners: z.array(listenerOptions).prefault([{}]).describe("Where local clients connect."),
  limits: brokerLimits.prefault({}).describe("What one client may cost."),
});
export type BrokerOptions = z.infer<typeof brokerOptions>;

export const captureRule = z.strictObject({
  topics: z.array(z.string().min(1)).min(1).describe("Topic filters of local messages that go into the queue."),
  stream: streamName.default("events").describe("The stream they go into."),
});
export const captureOptions = z.array(captureRule).prefault([]);
export type CaptureOptions = z.infer<typeof captureOptions>;
