import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { runPorts } from "../../gateway/cli/ports.ts";
import { serialPorts } from "../../gateway/host/serial-ports.ts";
import { testIo } from "./io.ts";

/** The folders of a machine with a USB adapter, and a place for a UART that is not there. */
async function machine(): Promise<{ dev: string; sys: string }> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-ports-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const dev = join(folder, "dev");
  const sys = join(folder, "sys");
  const usb = join(sys, "devices/usb1/1-1");
  await mkdir(join(dev, "serial/by-id"), { recursive: true });
  await mkdir(join(usb, "1-1:1.0/ttyUSB0"), { recursive: true });
  await mkdir(join(sys, "class/tty/ttyUSB0"), { recursive: true });
  await mkdir(join(sys, "class/tty/ttyS1"), { recursive: true });
  await mkdir(join(sys, "devices/platform/serial8250"), { recursive: true });
  await writeFile(join(dev, "ttyUSB0"), "");
  await writeFile(join(dev, "ttyS1"), "");
  await symlink(join(dev, "ttyUSB0"), join(dev, "serial/by-id/usb-FTDI_FT232R_A1-if00-port0"));
  await symlink(join(usb, "1-1:1.0/ttyUSB0"), join(sys, "class/tty/ttyUSB0/device"));
  await symlink(join(sys, "devices/platform/serial8250"), join(sys, "class/tty/ttyS1/device"));
  await writeFile(join(sys, "class/tty/ttyS1/type"), "0\n");
  for (const [name, text] of Object.entries({
    idVendor: "0403",
    idProduct: "6001",
    manufacturer: "FTDI",
    product: "FT232R",
    serial: "A1",
  })) {
    await writeFile(join(usb, name), `${text}\n`);
  }
  return { dev, sys };
}

describe("millrace ports", () => {
  it("shows adapters by the name that stays, and no places for UARTs that are not there", async () => {
    const roots = await machine();
    const { ports } = await serialPorts(roots);
    expect(ports).toEqual([
      {
        path: join(roots.dev, "serial/by-id/usb-FTDI_FT232R_A1-if00-port0"),
        stable: true,
        tty: join(roots.dev, "ttyUSB0"),
        usbId: "0403:6001",
        vendor: "FTDI",
        product: "FT232R",
        serialNumber: "A1",
        allowed: true,
      },
    ]);
    const io = testIo();
    expect(await runPorts([], io, { list: () => serialPorts(roots) })).toBe(0);
    expect(io.stdout()).toContain("usb-FTDI_FT232R_A1-if00-port0\n  is ");
    expect(io.stdout()).toContain("  FTDI FT232R, USB 0403:6001, serial number A1\n  free\n");
  });

  it("says what to do where there is none", async () => {
    const io = testIo();
    expect(await runPorts([], io, { list: () => serialPorts({ dev: "/nowhere", sys: "/nowhere" }) })).toBe(1);
    expect(io.stdout()).toContain("No serial port was found.\n  Is the adapter plugged in?");
  });

  it("names who has a port, and the group that may open it", async () => {
    const io = testIo();
    const port = {
      path: "/dev/ttyUSB0",
      stable: false,
      tty: "/dev/ttyUSB0",
      byPath: "/dev/serial/by-path/x",
      allowed: false,
    };
    const list = () => Promise.resolve({ user: "anna", ports: [{ ...port, holder: { pid: 17, program: "mbpoll" } }] });
    expect(await runPorts([], io, { list })).toBe(0);
    expect(io.stdout()).toContain("in use by mbpoll (pid 17)");
    expect(io.stdout()).toContain("sudo usermod -aG dialout anna");
    expect(io.stdout()).toContain("the name by its socket does not");
  });
});
