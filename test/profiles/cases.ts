import type { Area } from "../../drivers/modbus/address.ts";
import { f32, f64, hex, i16, i32, swapped, text, u32, u64 } from "./encode.ts";

/** What a device holds, and what a person reads off it. */
export interface Case {
  readonly profile: string | readonly string[];
  readonly parameters?: Readonly<Record<string, number | string>>;
  readonly words: readonly (readonly [area: Area, address: number, words: readonly number[]])[];
  /** By tag; a bad one is its reason in brackets. */
  readonly values: Readonly<Record<string, unknown>>;
}

const inverterWords: Case["words"] = [
  // A map that begins at 40000: SunS, model 1 with 66 registers, model 103 at 40070.
  ["holding", 40_000, [0x5375, 0x6e53, 1, 66]],
  ["holding", 40_004, text("Example", 16)],
  ["holding", 40_020, text("TL-10", 16)],
  ["holding", 40_036, text("", 8)],
  ["holding", 40_044, text("1.07", 8)],
  ["holding", 40_052, text("S123", 16)],
  ["holding", 40_068, [3, 0x8000, 103, 50]],
  // A, AphA, AphB, AphC, A_SF
  ["holding", 40_072, [1234, 411, 412, 0xffff, ...i16(-2)]],
  // PPVphAB, BC, CA, PhVphA, B, C, V_SF
  ["holding", 40_077, [0xffff, 0xffff, 0xffff, 2301, 2302, 2299, ...i16(-1)]],
  // W, W_SF, Hz, Hz_SF, VA, VA_SF, VAr, VAr_SF, PF, PF_SF
  ["holding", 40_084, [...i16(-285), 1, 5001, ...i16(-2), 0x8000, 0x8000, ...i16(-12), 1, ...i16(-998), ...i16(-1)]],
  // WH, WH_SF, DCA, DCA_SF, DCV, DCV_SF, DCW, DCW_SF
  ["holding", 40_094, [...u32(12_345_678), 0, 820, ...i16(-2), 6123, ...i16(-1), 2900, 0]],
  // TmpCab, TmpSnk, TmpTrns, TmpOt, Tmp_SF, St, StVnd
  ["holding", 40_103, [451, 0x8000, 0x8000, 0x8000, ...i16(-1), 4, 0xffff]],
  ["holding", 40_110, [0, 0, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff]],
];

const inverterValues = {
  A: 12.34,
  AphA: 4.11,
  AphC: "[not implemented]",
  PPVphAB: "[not implemented]",
  PhVphA: 230.1,
  W: -2850,
  Hz: 50.01,
  VA: "[not implemented]",
  VAr: -120,
  PF: -99.8,
  WH: 12_345_678,
  DCA: 8.2,
  DCV: 612.3,
  DCW: 2900,
  TmpCab: 45.1,
  TmpSnk: "[not implemented]",
  St: 4,
  Evt1: 0,
  Evt2: "[not implemented]",
  inverter_model: 103,
};

function meter(model: number): Case {
  return {
    profile: `sunspec/meter-${model}`,
    parameters: { meter: 50_069, base: 50_000 },
    words: [
      ["holding", 50_069, [model, 105]],
      // A, AphA..C, A_SF, PhV, PhVphA..C, PPV, AB, BC, CA, V_SF
      [
        "holding",
        50_071,
        [...i16(-155), 50, 52, 53, ...i16(-1), 2304, 2301, 2302, 2309, 4000, 4001, 0x8000, 3999, 0xffff],
      ],
      // Hz, Hz_SF, W, WphA..C, W_SF
      ["holding", 50_085, [5002, ...i16(-2), ...i16(-32_767), 1, 2, 3, 0]],
      ["holding", 50_092, Array.from({ length: 15 }, () => 0x8000)],
      // TotWhExp and phases, TotWhImp and phases, TotWh_SF
      ["holding", 50_107, [...u32(4_000_000_000), 0, 0, 0, 0, 0, 0, ...u32(17), 0, 0, 0, 0, 0, 0, 2]],
      ["holding", 50_124, Array.from({ length: 50 }, () => 0)],
      ["holding", 50_174, [0, 0b1000]],
    ],
    values: {
      meter_model: model,
      A: -15.5,
      AphB: 5.2,
      PhVphC: 230.9,
      PPV: 400,
      Hz: 50.02,
      W: -32_767,
      VA: "[not implemented]",
      TotWhExp: 400_000_000_000,
      TotWhImp: 1700,
      Evt: 8,
    },
  };
}

/** Values from manuals where they have some, else values in the encoding that the source of the profile gives. */
export const CASES: readonly Case[] = [
  {
    profile: ["sunspec/common", "sunspec/inverter-103"],
    words: inverterWords,
    values: {
      SunS: "SunS",
      Mn: "Example",
      Md: "TL-10",
      Opt: "[not implemented]",
      Vr: "1.07",
      SN: "S123",
      DA: 3,
      ...inverterValues,
    },
  },
  { profile: "sunspec/common", words: inverterWords, values: { SunS: "SunS", Mn: "Example", SN: "S123" } },
  { profile: "sunspec/inverter-103", words: inverterWords, values: inverterValues },
  {
    profile: "sunspec/mppt-160",
    parameters: { mppt: 40_122, modules: 2 },
    words: [
      ["holding", 40_122, [160, 48, ...i16(-2), ...i16(-1), 1, 0x8000, 0, 0, 2, 0xffff]],
      ["holding", 40_132, [1, ...text("East", 8), 512, 6021, 308, ...u32(77), 0, 0, ...i16(-3), 4, 0, 0]],
      ["holding", 40_152, [2, ...text("West", 8), 0xffff, 6100, 0, ...u32(78), 0, 0, 0x8000, 2, 0, 2]],
    ],
    values: {
      mppt_N: 2,
      module1_IDStr: "East",
      module1_DCA: 5.12,
      module1_DCV: 602.1,
      module1_DCW: 3080,
      module1_DCWH: "[scale factor not implemented]",
      module1_Tmp: -3,
      module1_DCSt: 4,
      module2_IDStr: "West",
      module2_DCA: "[not implemented]",
      module2_DCV: 610,
      module2_Tmp: "[not implemented]",
      module2_DCEvt: 2,
    },
  },
  meter(201),
  meter(202),
  meter(203),
  meter(204),
  // The answer 43 66 33 34 is the manufacturer's own example for 230.2 V (33 would be nearer).
  {
    profile: "eastron/sdm120",
    words: [
      ["input", 0, hex("4366 3334")],
      ["input", 12, f32(-1840.5)],
      ["input", 342, f32(1234.5)],
    ],
    values: { voltage: 230.20001, power: -1840.5, total: 1234.5 },
  },
  {
    profile: "eastron/sdm630",
    words: [
      ["input", 0, hex("4366 3334")],
      ["input", 4, hex("42C8 0000")],
      ["input", 52, f32(6900)],
      ["input", 350, f32(3.25)],
    ],
    values: { voltage_l1: 230.20001, voltage_l3: 100, power: 6900, import_l3: 3.25 },
  },
  {
    profile: "eastron/sdm72",
    words: [
      ["input", 52, f32(512)],
      ["input", 72, f32(17.5)],
    ],
    values: { power: 512, import: 17.5 },
  },
  {
    profile: "schneider-electric/iem3000",
    words: [
      ["holding", 3027, f32(231.4)],
      ["holding", 3059, f32(5.25)],
      ["holding", 3203, u64(1_234_567n)],
    ],
    values: { voltage_l1: 231.4, power: 5250, import: 1234.567 },
  },
  {
    profile: "siemens/pac2200",
    words: [
      ["input", 1, f32(229.5)],
      ["input", 65, f32(-300)],
      ["input", 801, f64(98_765_432)],
    ],
    values: { voltage_l1: 229.5, power: -300, import: 98_765.432 },
  },
  {
    profile: "abb/b-series",
    words: [
      ["holding", 0x5000, u64(123_456n)],
      ["holding", 0x5004, u64(2n ** 64n - 1n)],
      ["holding", 0x5b00, u32(2314)],
      ["holding", 0x5b0c, u32(1502)],
      ["holding", 0x5b14, i32(-12_345)],
      ["holding", 0x5b2c, [5001]],
      ["holding", 0x5b3a, i16(-987)],
    ],
    values: {
      import: 1234.56,
      export: "[not implemented]",
      voltage_l1: 231.4,
      current_l1: 15.02,
      power: -123.45,
      frequency: 50.01,
      power_factor: -0.987,
    },
  },
  {
    profile: "carlo-gavazzi/em24",
    words: [
      ["input", 0, swapped(i32(2305))],
      ["input", 12, swapped(i32(-70_000))],
      ["input", 40, swapped(i32(-12_345))],
      ["input", 53, i16(-998)],
      ["input", 55, [499]],
      ["input", 62, swapped(i32(987_654))],
    ],
    values: {
      voltage_l1: 230.5,
      current_l1: -70,
      power: -1234.5,
      power_factor: -0.998,
      frequency: 49.9,
      import: 98_765.4,
    },
  },
  {
    profile: "carlo-gavazzi/em340",
    words: [
      ["input", 0, swapped(i32(2305))],
      ["input", 40, swapped(i32(70_001))],
      ["input", 51, [500]],
      ["input", 52, swapped(i32(1))],
      ["input", 78, swapped(i32(250))],
    ],
    values: { voltage_l1: 230.5, power: 7000.1, frequency: 50, import: 0.1, export: 25 },
  },
  {
    profile: "janitza/b23",
    words: [
      ["holding", 0x4a38, f32(230.5)],
      ["holding", 0x4a52, f32(1500)],
      ["holding", 0x4a7c, f32(12_500)],
    ],
    values: { voltage_l1: 230.5, power: 1500, import: 12.5 },
  },
  {
    profile: "wago/879-3000",
    words: [
      ["holding", 0x5002, f32(231)],
      ["holding", 0x5012, f32(1.25)],
      ["holding", 0x600c, f32(77.5)],
    ],
    values: { voltage_l1: 231, power: 1250, import: 77.5 },
  },
  {
    profile: "inepro/pro380",
    words: [
      ["holding", 0x5002, f32(231)],
      ["holding", 0x5012, f32(-0.5)],
      ["holding", 0x6000, f32(3.5)],
    ],
    values: { voltage_l1: 231, power: -500, total: 3.5 },
  },
  {
    profile: "chint/dtsu666",
    words: [
      ["holding", 0x2006, f32(2305)],
      ["holding", 0x200c, f32(1500)],
      ["holding", 0x2012, f32(-1234)],
      ["holding", 0x2044, f32(5001)],
      ["holding", 0x101e, f32(12.25)],
    ],
    values: { voltage_l1: 230.5, current_l1: 1.5, power: -123.4, frequency: 50.01, import: 12.25 },
  },
  {
    profile: "lovato/dmg610",
    words: [
      ["input", 1, u32(23_012)],
      ["input", 7, u32(12_345)],
      ["input", 57, i32(-100_050)],
      ["input", 49, u32(50_012)],
      ["input", 0x1b1f, u64(123_456_789n)],
    ],
    values: { voltage_l1: 230.12, current_l1: 1.2345, power: -1000.5, frequency: 50.012, import: 1_234_567.89 },
  },
  {
    profile: "finder/7m38",
    words: [
      ["input", 2500, f32(229.5)],
      ["input", 2536, f32(4000)],
      ["input", 2752, f32(1500)],
    ],
    values: { voltage_l1: 229.5, power: 4000, import: 1.5 },
  },
  {
    profile: "orno/we-525",
    words: [
      ["input", 256, i32(230_123)],
      ["input", 260, i32(-15)],
      ["input", 266, [500]],
      ["input", 267, i16(-999)],
      ["input", 270, i32(12_345)],
    ],
    values: { voltage: 230.123, power: -15, frequency: 50, power_factor: -0.999, import: 123.45 },
  },
  {
    profile: "eltako/dsz15",
    words: [
      ["input", 0, u32(23_050)],
      ["input", 52, i32(-4600)],
      ["input", 62, i32(-995)],
      ["input", 72, u32(123_456)],
    ],
    values: { voltage_l1: 230.5, power: -4600, power_factor: -0.995, import: 1234.56 },
  },
  {
    profile: "peacefair/pzem-016",
    words: [
      ["input", 0, [2301]],
      ["input", 1, swapped(u32(70_000))],
      ["input", 3, swapped(u32(161_070))],
      ["input", 5, swapped(u32(65_537))],
      ["input", 7, [500]],
      ["input", 8, [99]],
      ["input", 9, [0xffff]],
    ],
    values: {
      voltage: 230.1,
      current: 70,
      power: 16_107,
      energy: 65.537,
      frequency: 50,
      power_factor: 0.99,
      alarm: 0xffff,
    },
  },
  {
    profile: "danfoss/fc-51",
    words: [
      ["holding", 16_129, [501]],
      ["holding", 16_139, [325]],
      ["holding", 15_019, u32(70_000)],
      ["holding", 50_199, [0b1000_0000_0011]],
    ],
    values: {
      frequency: 50.1,
      motor_current: 3.25,
      energy: 70_000,
      control_ready: true,
      drive_ready: true,
      alarm: false,
      running: true,
    },
  },
  {
    profile: "vacon/10",
    words: [
      ["input", 2100, [0b10_0011]],
      ["input", 2103, i16(-4550)],
      ["input", 2105, [123]],
      ["input", 2106, i16(-250)],
    ],
    values: {
      ready: true,
      running: true,
      fault: false,
      at_reference: true,
      frequency: -45.5,
      current: 1.23,
      torque: -25,
    },
  },
  {
    profile: "abb/ach580",
    parameters: { maxReference: 50 },
    words: [
      ["holding", 0, [0x047f]],
      ["holding", 1, i16(10_000)],
      ["holding", 3, [0b0111]],
      ["holding", 4, i16(-20_000)],
      ["holding", 5, i16(-3)],
    ],
    values: {
      control_word: 0x047f,
      reference_1: 25,
      ready_on: true,
      ready_reference: true,
      tripped: false,
      actual_1: -50,
      actual_2: -3,
    },
  },
  {
    profile: "apc/nmc2",
    words: [
      ["holding", 0, [1]],
      ["holding", 3, [0b1000]],
      ["holding", 5, [98]],
      ["holding", 17, [231]],
    ],
    values: { on: true, mains: true, on_battery: false, battery_charge: 98, input_voltage: 231 },
  },
  {
    profile: "mean-well/drs",
    words: [
      ["input", 80, [2301]],
      ["input", 96, [2412]],
      ["input", 98, i16(-55)],
      ["holding", 64, [0b10_0000]],
    ],
    values: { voltage_ac: 230.1, voltage_dc: 24.12, temperature: -5.5, ac_abnormal: true, short_circuit: false },
  },
  {
    profile: "carel/ir33",
    words: [
      ["input", 403, i16(-185)],
      ["holding", 404, i16(-180)],
      ["coil", 54, [1]],
      ["discrete", 7, [1]],
      ["discrete", 43, [0]],
    ],
    values: { probe_1: -18.5, set_point: -18, on: true, compressor_relay: true, door: false },
  },
  {
    profile: "moxa/iologik-e1240",
    words: [
      ["input", 0, [0x7fff]],
      ["input", 8, f32(7.5)],
      ["input", 22, f32(-2.5)],
    ],
    values: { ai1_raw: 0x7fff, ai1: 7.5, ai8: -2.5 },
  },
  {
    profile: "moxa/iologik-e1214",
    words: [
      ["discrete", 5, [1]],
      ["input", 16, u32(70_000)],
      ["input", 48, [0b10_0000]],
      ["holding", 32, [3]],
    ],
    values: { di1: false, di6: true, di1_count: 70_000, di_all: 32, relay_all: 3 },
  },
  // The manual gives the module's name: 0x4056 and "SO".
  {
    profile: "advantech/adam-4056so",
    words: [
      ["coil", 16, [1]],
      ["coil", 27, [1]],
      ["holding", 210, hex("4056 534F")],
    ],
    values: { do1: true, do2: false, do12: true, module_name_1: 0x4056, module_name_2: 0x534f },
  },
  {
    profile: "advantech/adam-4024",
    words: [
      ["holding", 0, [2048]],
      ["holding", 210, hex("4024 0000")],
    ],
    values: { ao1: 2048, module_name_1: 0x4024 },
  },
  // The manual's constant.
  {
    profile: "wago/750-coupler",
    words: [
      ["holding", 0x2002, hex("1234")],
      ["holding", 0x2012, [362]],
      ["holding", 0x1025, [64]],
    ],
    values: { constant_1234: 0x1234, item: 362, digital_input_bits: 64 },
  },
  {
    profile: "siemens/logo8",
    parameters: { analogInputs: 2 },
    words: [
      ["discrete", 0, [1]],
      ["coil", 8193, [1]],
      ["input", 1, [587]],
    ],
    values: { I1: true, I2: false, Q1: false, Q2: true, AI2: 587 },
  },
  {
    profile: "huawei/sun2000",
    words: [
      ["holding", 32_016, i16(6125)],
      ["holding", 32_080, i32(-12)],
      ["holding", 32_085, [5001]],
      ["holding", 32_106, u32(20_734)],
    ],
    values: { pv1_voltage: 612.5, power: -12, frequency: 50.01, energy: 207.34 },
  },
  {
    profile: "sungrow/sg",
    words: [
      ["input", 5002, [123]],
      ["input", 5003, swapped(u32(70_000))],
      ["input", 5030, swapped(u32(65_636))],
      ["input", 5032, swapped(i32(-40))],
      ["input", 5035, [500]],
    ],
    values: { energy_today: 12.3, energy: 70_000, power: 65_636, reactive_power: -40, frequency: 50 },
  },
  {
    profile: "sma/modbus",
    words: [
      ["holding", 30_513, u64(12_345_678n)],
      ["holding", 30_775, hex("8000 0000")],
    ],
    values: { energy: 12_345.678, power: "[not implemented]" },
  },
];
