import { z } from "zod";
import type { Simulator, SimulatorModule } from "../../../gateway/core/driver.ts";
import { ConfigError, messageOf } from "../../../gateway/core/errors.ts";
import type { Logger } from "../../../gateway/core/log.ts";
import type { LineEvents } from "../lines/line.ts";
import { ListenLine } from "../lines/listen-line.ts";
import { SpeakingDevice } from "./device.ts";
import { type SimulatorOptions, settledSimulator, simulatorSchema } from "./options.ts";

/** A device in software that speaks by itself or when asked: options as written in YAML, or as its schema parsed them. */
export const serialSimulator: SimulatorModule = { schema: simulatorSchema, start };

async function start(options: unknown, log: Logger): Promise<Simulator> {
  const settled = settle(options);
  const { transport } = settled;
  const device = new SpeakingDevice(settled, (bytes) => line.write(bytes));
  let stopped = false;
  const events: LineEvents = {
    data: (chunk, peer) => device.hear(chunk, peer),
    left: (peer) => device.left(peer),
    closed: ({ message }) => {
      device.stop();
      if (!stopped) log.warn({ error: message }, "the simulator's line is gone");
    },
  };
  const line = await lineTo(transport, events);
  try {
    await line.open();
  } catch (error) {
    throw new ConfigError(`the simulator cannot start: ${messageOf(error)}`, { cause: error });
  }
  device.start();
  const address = line instanceof ListenLine ? `${line.address.host}:${line.address.port}` : pathOf(transport);
  log.info({ address }, "serial simulator speaks");
  return {
    address,
    stop: async () => {
      stopped = true;
      device.stop();
      await line.close();
    },
  };
}

/** The line at which a device in software speaks, not yet open. */
export async function lineTo(transport: SimulatorOptions["transport"], events: LineEvents) {
  if (transport.type === "tcp") {
    return new ListenLine({ ...transport, type: "tcp-listen", allow: [] }, events, () => {});
  }
  const { SerialLine } = await import("../lines/serial-line.ts");
  return new SerialLine(transport, events);
}

function pathOf(transport: SimulatorOptions["transport"]): string {
  return "path" in transport ? transport.path : "";
}

function settle(options: unknown): SimulatorOptions {
  const raw = simulatorSchema.safeParse(options);
  if (raw.success) return raw.data;
  const parsed = settledSimulator.safeParse(options);
  if (parsed.success) return parsed.data;
  throw new ConfigError(z.prettifyError(raw.error), { cause: raw.error });
}
