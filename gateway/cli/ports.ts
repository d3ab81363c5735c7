import type { SerialPortInfo, SerialPorts } from "../host/serial-ports.ts";
import { asCommand, type CliIo, EXIT, parseCommand, UsageError } from "./io.ts";

const HELP = `millrace ports - the serial ports of this machine

Usage: millrace ports [--json]

  --json        as JSON
  -h, --help    this text

For each port: the name to configure (one that stays with the adapter, where there is one), what is behind it, and the
program that has it. Exit codes: 0 there are ports, 1 there are none, 64 usage.

Example: millrace ports
`;

export interface PortsDeps {
  readonly list: () => Promise<SerialPorts>;
}

/** `millrace ports`. */
export function runPorts(args: string[], io: CliIo, deps: PortsDeps): Promise<number> {
  return asCommand("ports", io, async () => {
    const { values, positionals } = parseCommand(args, {
      json: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    });
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    if (positionals.length > 0) throw new UsageError(`"${positionals[0]}" is not an option`);
    const found = await deps.list();
    const { ports } = found;
    if (values.json) io.out(`${JSON.stringify(ports, null, 2)}\n`);
    else io.out(ports.length === 0 ? NONE : describe(found));
    return ports.length === 0 ? EXIT.no : EXIT.ok;
  });
}

const NONE = `No serial port was found.
  Is the adapter plugged in? Its plugging in shows in: dmesg | tail (needs a driver: ftdi_sio, cp210x, ch341, pl2303, cdc_acm)
  In a container or a virtual machine the port has to be passed on to it.
  A UART of the board (Raspberry Pi) may have to be switched on: raspi-config, Interface Options, Serial Port.
`;

function describe({ ports, user }: SerialPorts): string {
  const blocks = ports.map(block);
  const closed = ports.filter(({ allowed }) => !allowed);
  const hint =
    closed.length === 0
      ? ""
      : `\n${user || "This user"} may not open ${closed.map(({ tty }) => tty).join(", ")}: ports belong to the group dialout.
  sudo usermod -aG dialout ${user || "USER"}    and log in again; the gateway's own user (millrace) is in it when installed
`;
  const unstable = ports.filter(({ stable }) => !stable);
  const note =
    unstable.length === 0
      ? ""
      : `\nThe number of ${unstable.map(({ tty }) => tty).join(", ")} may change when adapters are plugged in another order; ${
          unstable.some(({ byPath }) => byPath !== undefined)
            ? "the name by its socket does not."
            : "there is no other name."
        }\n`;
  return `${blocks.join("\n")}\n${hint}${note}`;
}

function block(port: SerialPortInfo): string {
  const { path, tty, vendor, product, serialNumber, usbId, driver, holder, byPath, stable, allowed } = port;
  const made = [vendor, product].filter((text) => text !== undefined).join(" ");
  const ids = [
    usbId && `USB ${usbId}`,
    serialNumber && `serial number ${serialNumber}`,
    usbId && driver && `driver ${driver}`,
  ];
  const lines = [
    path === tty ? "" : `is ${tty}`,
    [made, ...ids].filter(Boolean).join(", "),
    stable || byPath === undefined ? "" : `by its socket: ${byPath}`,
    holder ? `in use by ${holder.program} (pid ${holder.pid})` : allowed ? "free" : "not allowed",
  ].filter((line) => line !== "");
  return `${path}\n${lines.map((line) => `  ${line}`).join("\n")}`;
}
