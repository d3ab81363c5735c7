import { access, constants, readdir, readFile, realpath } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { type Holder, holderOf } from "./file-holder.ts";

/** A serial port of this machine. */
export interface SerialPortInfo {
  /** The name to configure: it stays with the adapter where one is there. */
  readonly path: string;
  /** Whether the name stays over restarts and plugging. */
  readonly stable: boolean;
  /** What is behind the name, such as /dev/ttyUSB0. */
  readonly tty: string;
  /** Names by socket: they stay with the socket, whatever is plugged into it. */
  readonly byPath?: string;
  readonly vendor?: string;
  readonly product?: string;
  readonly serialNumber?: string;
  /** `0403:6001`. */
  readonly usbId?: string;
  readonly driver?: string;
  /** Another process that has it open. */
  readonly holder?: Holder;
  /** Whether this user may open it. */
  readonly allowed: boolean;
}

export interface SerialPorts {
  readonly ports: readonly SerialPortInfo[];
  readonly user: string;
}

export interface Roots {
  readonly dev: string;
  readonly sys: string;
}

/** What a port of a PC says that has no chip behind it (serial_core.h, PORT_UNKNOWN). */
const NO_CHIP = "0";

/** The ports that have a device behind them: USB adapters, UARTs, and what else the kernel calls a tty with hardware. */
export async function serialPorts(roots: Roots = { dev: "/dev", sys: "/sys" }): Promise<SerialPorts> {
  const byId = await linksIn(join(roots.dev, "serial/by-id"));
  const byPath = await linksIn(join(roots.dev, "serial/by-path"));
  const ttys = new Set([...byId.keys(), ...byPath.keys(), ...(await ttysIn(roots))]);
  const ports = await Promise.all([...ttys].map((tty) => portOf(tty, byId.get(tty), byPath.get(tty), roots)));
  return {
    ports: ports.sort((a, b) => Number(b.stable) - Number(a.stable) || natural(a.tty, b.tty)),
    user: userName(),
  };
}

async function portOf(
  tty: string,
  id: string | undefined,
  socket: string | undefined,
  roots: Roots,
): Promise<SerialPortInfo> {
  const usb = await usbOf(tty, roots);
  const holder = await holderOf(tty);
  const allowed = await access(tty, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  return {
    path: id ?? tty,
    stable: id !== undefined || isFixed(tty),
    tty,
    ...(socket === undefined ? {} : { byPath: socket }),
    ...usb,
    ...(holder && { holder }),
    allowed,
  };
}

/** UARTs on the board keep their names; adapters get theirs in the order of plugging. */
function isFixed(tty: string): boolean {
  return !/tty(USB|ACM)\d+$/.test(tty);
}

/** Names in a folder of links, by what they lead to. */
async function linksIn(folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const name of (await readdir(folder).catch(() => [])).sort()) {
    const path = join(folder, name);
    const target = await realpath(path).catch(() => undefined);
    if (target !== undefined && !found.has(target)) found.set(target, path);
  }
  return found;
}

/** The kernel's ttys with hardware behind them. */
async function ttysIn({ dev, sys }: Roots): Promise<string[]> {
  const folder = join(sys, "class/tty");
  const names = await readdir(folder).catch(() => []);
  const real = await Promise.all(
    names.map(async (name) => {
      const device = await realpath(join(folder, name, "device")).catch(() => undefined);
      if (device === undefined) return undefined;
      // A PC has places for more UARTs than it has.
      const type = await textOf(join(folder, name, "type"));
      return type === NO_CHIP || /\/virtual\//.test(device) ? undefined : join(dev, name);
    }),
  );
  const paths = real.filter((path) => path !== undefined);
  const there = await Promise.all(
    paths.map((path) =>
      access(path).then(
        () => path,
        () => undefined,
      ),
    ),
  );
  return there.filter((path) => path !== undefined);
}

async function usbOf(
  tty: string,
  { sys }: Roots,
): Promise<Partial<Pick<SerialPortInfo, "vendor" | "product" | "serialNumber" | "usbId" | "driver">>> {
  const name = tty.slice(tty.lastIndexOf("/") + 1);
  const device = await realpath(join(sys, "class/tty", name, "device")).catch(() => undefined);
  if (device === undefined) return {};
  const driver = await realpath(join(device, "driver")).catch(() => undefined);
  const found = driver === undefined ? {} : { driver: driver.slice(driver.lastIndexOf("/") + 1) };
  // The tty is an interface of the USB device, which is one or two folders further up.
  for (let folder = device; folder.length > sys.length + 1; folder = join(folder, "..")) {
    const vendorId = await textOf(join(folder, "idVendor"));
    if (vendorId === undefined) continue;
    const text = async (file: string) => await textOf(join(folder, file));
    const [productId, vendor, product, serialNumber] = await Promise.all(
      ["idProduct", "manufacturer", "product", "serial"].map(text),
    );
    return {
      ...found,
      usbId: `${vendorId}:${productId ?? "????"}`,
      ...(vendor === undefined ? {} : { vendor }),
      ...(product === undefined ? {} : { product }),
      ...(serialNumber === undefined ? {} : { serialNumber }),
    };
  }
  return found;
}

async function textOf(path: string): Promise<string | undefined> {
  const text = await readFile(path, "utf8").catch(() => undefined);
  return text?.trim() === "" ? undefined : text?.trim();
}

function natural(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return "";
  }
}
