import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { modbusLearnt } from "../../drivers/modbus/learn/content.ts";
import { ConfigFaults, formatLocated } from "../../gateway/config/faults.ts";
import { loadConfig } from "../../gateway/config/load.ts";
import { fillIn } from "../../gateway/config/profiles/placeholders.ts";
import type { LoadedConfig } from "../../gateway/config/types.ts";
import { folderWith } from "./support.ts";

const METER = `vendor: Own
model: Meter
driver: modbus
parameters:
  base: 0
  ct: { default: 1, min: 1, description: current transformer }
maxRegisters: 60
holes: ["holding:90"]
tags:
  - { name: v, address: "holding:{base}", type: uint16, scale: 0.1, unit: V }
  - { name: i, address: "holding:{base+1}", type: uint16, scale: "{ct*0.01}", unit: A }
  - { name: p, address: "holding:{base+2}", type: int32 }
  - { name: "ch{n}", repeat: 3, address: "holding:{base+10+n*2}", type: float32 }
`;

/** The devices of one Modbus link, and profiles by name. */
function configuration(devices: string, profiles: Readonly<Record<string, string>> = { "own/meter": METER }): string {
  const folder = folderWith(`gateway: { id: gw }
links:
  - name: line
    driver: modbus
    transport: { type: tcp, host: 192.0.2.1 }
    devices:
${devices}`);
  for (const [name, text] of Object.entries(profiles)) {
    const file = join(folder, "profiles", `${name}.yaml`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  return folder;
}

const load = (...given: Parameters<typeof configuration>): Promise<LoadedConfig> =>
  loadConfig("millrace.yaml", { cwd: configuration(...given) });

async function linesOf(...given: Parameters<typeof configuration>): Promise<string[]> {
  try {
    await load(...given);
  } catch (error) {
    if (error instanceof ConfigFaults) return error.faults.map(formatLocated);
    throw error;
  }
  throw new Error("no fault");
}

function tagsOf(config: LoadedConfig, device = 0): Record<string, unknown> {
  const tags = config.links[0]?.devices[device]?.tags ?? [];
  return Object.fromEntries(tags.map(({ name, everyMs, options }) => [name, { everyMs, ...(options as object) }]));
}

describe("a device with a profile", () => {
  it("has its tags and keys, with parameters filled in", async () => {
    const config = await load("      - { name: m1, unit: 1, profile: own/meter, parameters: { base: 100, ct: 5 } }\n");
    expect(tagsOf(config)).toMatchObject({
      v: { address: "holding:100", scale: 0.1, everyMs: 1000 },
      i: { address: "holding:101", scale: 0.05 },
      ch1: { address: "holding:112" },
      ch3: { address: "holding:116" },
    });
    expect(config.links[0]?.devices[0]?.options).toMatchObject({ maxRegisters: 60, holes: ["holding:90"] });
    expect(config.profiles).toEqual([
      {
        link: "line",
        device: "m1",
        profile: "own/meter",
        origin: "configuration",
        file: "profiles/own/meter.yaml",
        tags: 6,
        of: 6,
      },
    ]);
  });

  it("overrides, adds and leaves out single tags and keys", async () => {
    const config = await load(`      - name: m1
        unit: 1
        profile: own/meter
        maxRegisters: 20
        except: [i, "ch*"]
        tags:
          - { name: p, every: 5s, scale: 2 }
          - { name: extra, address: "holding:30", type: uint16 }
      - { name: m2, unit: 2, profile: own/meter, only: ["ch*", v] }
`);
    expect(Object.keys(tagsOf(config))).toEqual(["v", "p", "extra"]);
    expect(tagsOf(config)["p"]).toMatchObject({ everyMs: 5000, scale: 2, address: "holding:2", type: "int32" });
    expect(config.links[0]?.devices[0]?.options).toMatchObject({ maxRegisters: 20 });
    expect(Object.keys(tagsOf(config, 1))).toEqual(["v", "ch1", "ch2", "ch3"]);
  });

  it("has several profiles, later ones over earlier ones, and what was learnt as one of them", async () => {
    const length = { answered: 48, refused: 60, most: 48 };
    const content = {
      version: 1,
      holes: [{ area: "holding", start: 40, end: 50 }],
      refused: [],
      registers: length,
      bits: { answered: 0 },
    };
    const learnt = Object.entries(modbusLearnt.profile(content)).map(
      ([key, value]) => `${key}: ${JSON.stringify(value)}\n`,
    );
    const config = await load("      - { name: m1, unit: 1, profile: [own/meter, own/learnt] }\n", {
      "own/meter": METER,
      "own/learnt": `# learnt from m1\n${learnt.join("")}`,
    });
    expect(config.links[0]?.devices[0]?.options).toMatchObject({
      maxRegisters: 48,
      holes: ["holding:90", "holding:40..49"],
    });
    expect(Object.keys(tagsOf(config))).toHaveLength(6);
  });

  it("finds its profile beside the configuration before the library's", async () => {
    const own = 'driver: modbus\ntags: [{ name: mine, address: "holding:0", type: uint16 }]\n';
    const both = "      - { name: a, unit: 1, profile: eastron/sdm120 }\n";
    expect(Object.keys(tagsOf(await load(both, { "eastron/sdm120": own })))).toEqual(["mine"]);
    expect(Object.keys(tagsOf(await load(both, {})))).toContain("voltage");
  });
});

describe("faults of profiles", () => {
  it("name file, line and path of the profile, and the devices that use it, once", async () => {
    const bad = `driver: modbus
tags:
  - { name: v, address: "holding:{bas}", type: uint16 }
`;
    const wrong = `driver: modbus
maxRegister: 5
tags:
  - { name: v, address: "holding:99999", type: uint16 }
  - { name: w, adress: "holding:1", type: uint16 }
`;
    const devices = (name: string) =>
      ["a", "b", "c"]
        .map((device, unit) => `      - { name: ${device}, unit: ${unit + 1}, profile: ${name} }\n`)
        .join("");
    expect(await linesOf(devices("x/bad"), { "x/bad": bad })).toEqual([
      'profiles/x/bad.yaml:3:25: tags[0].address: {bas}: there is no parameter "bas" (in device a and 2 more)',
    ]);
    expect(await linesOf(devices("x/wrong"), { "x/wrong": wrong })).toEqual([
      'profiles/x/wrong.yaml:2:1: unknown key "maxRegister"; did you mean "maxRegisters"? (in device a and 2 more)',
      'profiles/x/wrong.yaml:5:16: tags[1]: unknown key "adress"; did you mean "address"? (in device a and 2 more)',
    ]);
  });

  it("in what the device adds are told where the device stands", async () => {
    const lines = await linesOf(`      - name: m1
        unit: 1
        profile: own/meter
        tags:
          - { name: p, every: soon }
          - { name: extra, address: "holding:70000", type: uint16 }
`);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("millrace.yaml:11:31: links[0].devices[0].tags[0].every: ");
  });

  it.each([
    [
      "profile: own/metr",
      'profile: there is no profile "own/metr", neither in profiles/ nor in the library; did you mean "own/meter"?',
    ],
    [
      "profile: ../../etc/passwd",
      'profile: there is no profile "../../etc/passwd", neither in profiles/ nor in the library; see "millrace profile list"',
    ],
    [
      "profile: own/meter, parameters: { bas: 1 }",
      'parameters: the profile has no parameter "bas"; did you mean "base"?',
    ],
    ["profile: own/meter, parameters: { ct: 0 }", "parameters.ct: must be at least 1"],
    ["profile: own/meter, parameters: { ct: x }", "parameters.ct: must be a number"],
    [
      "profile: own/meter, only: [volt]",
      'only[0]: the profile has no tag "volt"; allowed here: v, i, p, ch1, ch2, ch3',
    ],
    [
      "profile: sunspec/mppt-160",
      'profile: missing parameter "mppt": Register of the id of model 160, counted from 0 (parameters: { … })',
    ],
    ["only: [v]", 'only" needs a profile: add "profile: vendor/model"'],
  ])("%s", async (keys, message) => {
    const lines = await linesOf(`      - { name: m1, unit: 1, ${keys} }\n`);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(message);
  });

  it("of keys that belong to the device, and of another driver", async () => {
    const one = "      - { name: a, unit: 1, profile: x/y }\n";
    expect(await linesOf(one, { "x/y": "unit: 3\ntags: []\n" })).toEqual([
      'profiles/x/y.yaml:1:7: unit: a profile has no "unit": the device has its own unit; what it leaves the factory with can be told in link (in device a)',
    ]);
    expect((await linesOf(one, { "x/y": "driver: serial\n" }))[0]).toContain(
      "profile: x/y is for driver serial, and this link has modbus",
    );
    expect((await linesOf(one, { "x/y": "tags: [\n" }))[0]).toMatch(
      /^profiles\/x\/y\.yaml:\d+:\d+: .*\(in device a\)$/,
    );
  });
});

describe("placeholders", () => {
  const parameters = new Map<string, number | string | boolean>([
    ["a", 3],
    ["b", 0.1],
    ["t", "CDAB"],
    ["empty", ""],
  ]);

  it.each([
    ["holding:{a+1}", "holding:4"],
    ["{a}", 3],
    ["{t}", "CDAB"],
    ["{empty}x", "x"],
    ["{a*b}", 0.3],
    ["{ (a + 1) * 2 - 6 / a }", 6],
    ["{-a}", -3],
    ["no placeholder", "no placeholder"],
  ])("%s is %s", (text, value) => expect(fillIn(text, parameters)).toBe(value));

  it.each([
    ["{c}", '{c}: there is no parameter "c"; there is a, b, t, empty'],
    ["{a+}", "{a+}: a name or a number is missing"],
    ["{(a}", '{(a}: a ")" is missing'],
    ["{a b}", '{a b}: "b" does not belong here'],
    ["{a;b}", '{a;b}: ";b" does not belong here'],
    ["{t+1}", '{t+1}: parameter "t" is no number'],
    ["{a/0}", "{a/0} is not a number"],
    ["holding:{b}", "{b} is 0.1, and a whole number is needed within a text"],
    ["{constructor}", '{constructor}: there is no parameter "constructor"; there is a, b, t, empty'],
  ])("%s is refused", (text, message) => expect(() => fillIn(text, parameters)).toThrow(new RangeError(message)));
});

it("the list of the library in docs/profiles.md is what its files say", async () => {
  const { libraryTable } = await import("../profiles/table.ts");
  const path = join(import.meta.dirname, "../../docs/profiles.md");
  const page = readFileSync(path, "utf8");
  const table = await libraryTable();
  const fresh = page.replace(
    /(<!-- library -->\n)[\s\S]*(<!-- end -->)/,
    (_all, open: string, close: string) => open + table + close,
  );
  if (process.env["UPDATE_GENERATED"] === "1") writeFileSync(path, fresh);
  else expect(page).toBe(fresh);
});
