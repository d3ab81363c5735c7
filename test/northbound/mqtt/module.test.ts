import { describe, expect, it } from "vitest";
import { uplinkModules } from "../../../gateway/northbound/index.ts";
import { mqttModule } from "../../../gateway/northbound/mqtt/module.ts";
import { effective, mqttSchema, plannedKeys } from "../../../gateway/northbound/mqtt/options.ts";

const url = "mqtt://127.0.0.1:1883";

function firstFault(options: Record<string, unknown>): string {
  const result = mqttModule.schema.safeParse(options);
  const issue = result.error?.issues[0];
  return issue ? `${issue.path.join(".")}: ${issue.message}` : "none";
}

describe("options of an MQTT uplink", () => {
  it("is in the list of modules", () => {
    expect(uplinkModules.map((one) => one.name)).toEqual([
      "mqtt",
      "rabbitmq",
      "kafka",
      "activemq",
      "zeromq",
      "sparkplug",
    ]);
  });

  it("has defaults for all but the URL", () => {
    expect(mqttModule.schema.parse({ url })).toEqual({
      url,
      urls: [],
      accept: [],
      sessionExpiry: 604_800_000,
      failBack: 300_000,
      topicAlias: false,
      preset: "generic",
      connectTimeout: 10_000,
      ackTimeout: 30_000,
      qos: 1,
      envelope: "auto",
    });
  });

  it.each([
    ["generic", { inFlight: 64, keepalive: 15_000, version: "auto", retain: "keep", maxPacket: undefined }],
    ["aws-iot", { inFlight: 50, keepalive: 60_000, version: "auto", retain: "keep", maxPacket: 122_880 }],
    ["azure-iot-hub", { inFlight: 10, keepalive: 60_000, version: 4, retain: "strip", maxPacket: 256_000 }],
  ])("takes from the preset %s what is not set", (preset, expected) => {
    expect(effective(mqttSchema.parse({ url, preset }))).toMatchObject(expected);
    expect(effective(mqttSchema.parse({ url, preset, inFlight: 3 })).inFlight).toBe(3);
  });

  it.each(plannedKeys)("refuses %s by name", (key) => {
    expect(firstFault({ url, [key]: "anything" })).toBe(`${key}: not in this version`);
  });

  it.each([
    [{ url: "wss://h/mqtt?token=1" }, /url: ends after the path/],
    [{ url: "http://h" }, /url: must begin with mqtt:/],
    [{ url: "nonsense" }, /url: not a URL/],
    [{ url: "mqtt://u:p@h" }, /url: user and password have their own keys/],
    [{ url: "mqtt://h/topic" }, /url: ends after the port/],
    [{}, /url: a URL is needed/],
    [{ url, qos: 0 }, /qos: 1: 0 would not be at least once/],
    [{ url, password: "plain" }, /password: a secret is given as/],
    [{ url, keepalive: 15 }, /keepalive: a duration with its unit/],
    [{ url, version: 3 }, /version: 5, 4/],
    [{ url, inFlight: 0 }, /inFlight: /],
    [{ url, tls: { rejectUnauthorized: false } }, /tls: /],
    [{ url, colour: "red" }, /colour/],
  ])("says what is wrong with %j", (options, message) => {
    expect(firstFault(options)).toMatch(message);
  });

  it.each([
    [{ url, tls: { ca: "x.pem" } }, [["tls"]]],
    [{ url: "mqtts://h", tls: { cert: "x.pem" } }, [["tls", "cert"]]],
    [{ url: "mqtts://h", tls: { key: "x.pem" } }, [["tls", "key"]]],
    [{ url: "mqtts://h", tls: { ca: "/nowhere/ca.pem" } }, [["tls", "ca"]]],
    [{ url, password: { env: "P" } }, [["password"]]],
    [{ url, password: { env: "P" }, version: 5 }, []],
    [{ url, password: { env: "P" }, username: "u" }, []],
    [{ url: "mqtts://h" }, []],
  ])("checks %j", (options, paths) => {
    expect(mqttModule.check(mqttModule.schema.parse(options)).map((one) => one.path)).toEqual(paths);
  });
});
