/** The demo's press shop: what its devices answer, what the gateway asks, what a person sees. */

export interface ShownTag {
  readonly name: string;
  readonly unit: string;
}
export interface ShownDevice {
  readonly name: string;
  /** As the device publishes; upstream it stands under the prefix of the uplink. */
  readonly topic: string;
  readonly tags: readonly ShownTag[];
}

export const GATEWAY_ID = "press-shop-01";
export const UPLINK = "cloud";
export const UPSTREAM_PREFIX = `acme/${GATEWAY_ID}/`;
export const SENSOR_TOPIC = "plant/line-1/vibration-1";

const PRESS: ShownDevice = {
  name: "press-1",
  topic: "plant/line-1/press-1",
  tags: [
    { name: "oil-temperature", unit: "°C" },
    { name: "die-temperature", unit: "°C" },
    { name: "force", unit: "kN" },
    { name: "parts", unit: "" },
    { name: "running", unit: "" },
  ],
};
const METER: ShownDevice = {
  name: "meter-1",
  topic: "plant/line-1/meter-1",
  tags: [
    { name: "voltage", unit: "V" },
    { name: "current", unit: "A" },
    { name: "power", unit: "kW" },
    { name: "energy", unit: "Wh" },
  ],
};
const SENSOR: ShownDevice = {
  name: "vibration-1",
  topic: SENSOR_TOPIC,
  tags: [
    { name: "rms", unit: "mm/s" },
    { name: "peak", unit: "mm/s" },
  ],
};

export function shownDevices(withMeter: boolean): readonly ShownDevice[] {
  return withMeter ? [PRESS, METER, SENSOR] : [PRESS, SENSOR];
}

/** The PLC of the press: Modbus TCP on a free port. */
export const PRESS_DEVICE = {
  driver: "modbus",
  transport: { type: "tcp", host: "127.0.0.1", port: 0 },
  units: [
    {
      unit: 1,
      registers: [
        {
          address: "holding:0",
          type: "float32",
          order: "ABCD",
          value: { wave: "sine", min: 42, max: 58, period: "60s" },
        },
        {
          address: "holding:2",
          type: "float32",
          order: "CDAB",
          value: { wave: "sine", min: 35, max: 75, period: "45s" },
        },
        { address: "holding:4", type: "uint16", value: { wave: "ramp", min: 0, max: 800, period: "4s" } },
        {
          address: "holding:5",
          type: "uint32",
          order: "ABCD",
          value: { wave: "counter", min: 120_000, max: 999_999, period: "4s" },
        },
        { address: "coil:3", type: "bool", value: { wave: "toggle", min: 0, max: 1, period: "20s" } },
      ],
    },
  ],
} as const;

/** The energy meter at the far end of a serial line. */
export function meterDevice(path: string) {
  return {
    driver: "modbus",
    transport: { type: "rtu", path, baud: 19_200, parity: "even" },
    units: [
      {
        unit: 7,
        registers: [
          {
            address: "input:0",
            type: "float32",
            order: "ABCD",
            value: { wave: "sine", min: 228, max: 232, period: "30s" },
          },
          {
            address: "input:2",
            type: "float32",
            order: "ABCD",
            value: { wave: "sine", min: 11, max: 48, period: "50s" },
          },
          {
            address: "input:4",
            type: "float32",
            order: "ABCD",
            value: { wave: "sine", min: 4, max: 18, period: "50s" },
          },
          {
            address: "input:6",
            type: "uint64",
            order: "ABCDEFGH",
            value: { wave: "counter", min: 9_000_000, max: 9_999_999, period: "1s" },
          },
        ],
      },
    ],
  } as const;
}

export interface PlantPorts {
  readonly plc: { readonly host: string; readonly port: number };
  /** The gateway's end of the meter's line; absent without a meter. */
  readonly meterPath?: string;
  readonly broker: number;
  readonly upstream: number;
  readonly http: number;
}

/** The gateway's configuration, as a person would write it. */
export function demoConfig(ports: PlantPorts): string {
  const meter =
    ports.meterPath === undefined
      ? ""
      : `  - name: rs485-1
    driver: modbus
    transport: { type: rtu, path: ${ports.meterPath}, baud: 19200, parity: even }
    devices:
      - name: meter-1
        unit: 7
        topic: ${METER.topic}
        tags:
          - { name: voltage, address: "input:0", type: float32, order: ABCD, unit: V, every: 1s }
          - { name: current, address: "input:2", type: float32, order: ABCD, unit: A, every: 1s }
          - { name: power, address: "input:4", type: float32, order: ABCD, unit: kW, every: 1s }
          - { name: energy, address: "input:6", type: uint64, order: ABCDEFGH, unit: Wh, every: 5s }
`;
  return `# Written by millrace demo. Everything is on loopback.
gateway: { id: ${GATEWAY_ID}, dataDir: ./data }
broker:
  listeners: [ { type: tcp, host: 127.0.0.1, port: ${ports.broker} } ]
capture:
  - { topics: ["plant/line-1/vibration-1/#"], stream: events }
queue: { maxBytes: 256MiB, minFree: 32MiB, sync: 1s }
links:
  - name: plc-1
    driver: modbus
    transport: { type: tcp, host: ${ports.plc.host}, port: ${ports.plc.port} }
    devices:
      - name: press-1
        unit: 1
        topic: ${PRESS.topic}
        tags:
          - { name: oil-temperature, address: "holding:0", type: float32, order: ABCD, unit: "°C", every: 1s }
          - { name: die-temperature, address: "holding:2", type: float32, order: CDAB, unit: "°C", every: 1s }
          - { name: force, address: "holding:4", type: uint16, unit: kN, every: 500ms }
          - { name: parts, address: "holding:5", type: uint32, order: ABCD, every: 1s }
          - { name: running, address: "coil:3", type: bool, every: 500ms, deadband: 0, stream: events }
${meter}uplinks:
  - name: ${UPLINK}
    type: mqtt
    url: mqtt://127.0.0.1:${ports.upstream}
    select: ["plant/#"]
    topic: "acme/{gateway}/{topic}"
http: { host: 127.0.0.1, port: ${ports.http} }
`;
}
