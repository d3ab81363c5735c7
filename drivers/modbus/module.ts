import type { DriverModule } from "../../gateway/core/driver.ts";
import { checkLink } from "./check.ts";
import { ModbusDriver } from "./driver.ts";
import { modbusLearnt } from "./learn/content.ts";
import { deviceSchema, linkSchema, readLink, readTag, tagSchema } from "./options.ts";
import { modbusSimulator } from "./simulator/simulator.ts";

/** Modbus TCP and RTU: reads coils, discrete inputs, input and holding registers. */
export const modbusModule: DriverModule = {
  name: "modbus",
  linkSchema,
  deviceSchema,
  tagSchema,
  check: checkLink,
  typeOf: (tagOptions) => readTag(tagOptions).type,
  create: (linkOptions, context) => new ModbusDriver(readLink(linkOptions), context),
  simulator: modbusSimulator,
  learnt: modbusLearnt,
};
