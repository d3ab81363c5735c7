import { describe, expect, it } from "vitest";
import { formatAddress, parseAddress } from "../../../drivers/modbus/address.ts";

describe("addresses", () => {
  it.each([
    ["coil:0", "coil:0"],
    ["discrete:12", "discrete:12"],
    ["input:65535", "input:65535"],
    ["holding:7.3", "holding:7.3"],
    ["00001", "coil:0"],
    ["09999", "coil:9998"],
    ["10001", "discrete:0"],
    ["30001", "input:0"],
    ["40001", "holding:0"],
    ["49999", "holding:9998"],
    ["000001", "coil:0"],
    ["100001", "discrete:0"],
    ["300010", "input:9"],
    ["400001", "holding:0"],
    ["465536", "holding:65535"],
    ["40008.15", "holding:7.15"],
    [40_001, "holding:0"],
    [10_001, "discrete:0"],
    [465_536, "holding:65535"],
  ])("%s is %s", (text, meant) => {
    expect(formatAddress(parseAddress(text))).toBe(meant);
  });

  it.each([
    ["holding", /"holding:0", "holding:7.3"/],
    ["register:3", /not "register:3"/],
    ["holding:65536", /last address of an area is 65535/],
    ["465537", /last address of an area is 65535/],
    ["40000", /count from 1/],
    ["holding:1.16", /bits 0 to 15/],
    ["coil:1.2", /single bit already/],
    ["50001", /an address is/],
    ["holding:-1", /an address is/],
    [1, /write 1 in quotes/],
    [40_008.1, /write 40008.1 in quotes/],
  ])("%s is refused", (text, message) => {
    expect(() => parseAddress(text)).toThrow(message);
  });
});
