import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { generate, type Packet, parser } from "mqtt-packet";

/** Clients that do what no client does, each from an address of its own in 127.0.0.0/8. */

export interface Wants {
  readonly from?: string;
  readonly clientId?: string;
  readonly clean?: boolean;
  readonly username?: string;
  readonly password?: string;
  readonly keepalive?: number;
}

export class Attacker {
  readonly socket: Socket;
  readonly packets: Packet[] = [];
  closed = false;
  opened = false;

  constructor(port: number, from = "127.0.0.1") {
    this.socket = connect({ port, host: "127.0.0.1", localAddress: from, noDelay: true });
    const parse = parser();
    parse.on("packet", (packet) => this.packets.push(packet));
    parse.on("error", () => {});
    this.socket.on("connect", () => {
      this.opened = true;
    });
    this.socket.on("data", (chunk) => parse.parse(chunk));
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.closed = true;
    });
  }

  send(...packets: Packet[]): this {
    return this.bytes(Buffer.concat(packets.map((packet) => generate(packet))));
  }
  bytes(bytes: Uint8Array): this {
    if (!this.socket.destroyed) this.socket.write(bytes);
    return this;
  }
  count(cmd: Packet["cmd"]): number {
    return this.packets.filter((packet) => packet.cmd === cmd).length;
  }
  /** The return code of its CONNACK. */
  get code(): number | undefined {
    const connack = this.packets.find((packet) => packet.cmd === "connack");
    return connack?.cmd === "connack" ? connack.returnCode : undefined;
  }
  end(): void {
    this.socket.destroy();
  }
}

export function connectPacket(wants: Wants = {}): Packet {
  const { clientId = "client", clean = true, keepalive = 60, username, password } = wants;
  const base = { cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clientId, clean, keepalive } as const;
  if (username === undefined) return base;
  return { ...base, username, ...(password !== undefined && { password: Buffer.from(password) }) };
}

export function publishPacket(
  topic: string,
  payload: string | Buffer,
  qos: 0 | 1 | 2,
  messageId = 1,
  retain = false,
): Packet {
  const base = { cmd: "publish", topic, payload, retain, dup: false } as const;
  return qos === 0 ? { ...base, qos } : { ...base, qos, messageId };
}

/** The one of so many addresses that are not the legitimate client's. */
export function addressOf(index: number): string {
  return `127.1.${Math.floor(index / 250) % 250}.${(index % 250) + 1}`;
}

export function residentMb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
}

/** Seconds of CPU. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** The sum of the rows of a metric whose labels contain `labels`. */
export function metric(text: string, name: string, labels = ""): number {
  return text
    .split("\n")
    .filter((line) => (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) && line.includes(labels))
    .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}
