import { expect, it } from "vitest";
import { checkText } from "../../gateway/config/load.ts";

const warnings = async (telemetry: string) => {
  const text = `gateway: { id: gw }\ntelemetry: ${telemetry}\n`;
  const { warnings: all } = await checkText(text, "millrace.yaml", "/tmp", { env: {} });
  return all.filter(({ path }) => path.startsWith("telemetry")).map(({ message }) => message);
};

it.each([
  ["{ otlp: { endpoint: http://127.0.0.1:4318 } }"],
  ['{ otlp: { endpoint: "http://[::1]:4318", sample: 0 } }'],
  ["{ otlp: { endpoint: https://collector.example.com } }"],
  ["{}"],
])("%s is fine", async (telemetry) => {
  expect(await warnings(telemetry)).toEqual([]);
});

it("traces that cross the network in clear are warned of", async () => {
  expect(await warnings("{ otlp: { endpoint: http://collector.example.com:4318 } }")).toEqual([
    "traces cross the network in clear; use https, or a collector on this machine that passes them on",
  ]);
});
