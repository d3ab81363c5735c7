import type { DriverModule } from "../../gateway/core/driver.ts";
import { checkLink } from "./check.ts";
import { ModbusDriver } from "./driver.ts";
import { modbusLearnt } from "./learn/content.ts";
import { deviceSchema, linkSchema, readLink, readTag, tagSchema } from "./options.ts";
import { modbusRecording } from "./recording/module.ts";
import { modbusSimulator } from "./simulator/simulator.ts";
import { writeLimits } from "./write/writable.ts";

/** Modbus TCP and RTU: reads coils, discrete inputs, input and holding registers. */
export const modbusModule: DriverModule = {
  name: "modbus",
  linkSchema,
  deviceSchema,
  tagSchema,
  check: checkLink,
  typeOf: (tagOptions) => readTag(tagOptions).type,
  writable: (tagOptions) => writeLimits(readTag(tagOptions)),
  create: (linkOptions, context) => new ModbusDriver(readLink(linkOptions), context),
  simulator: modbusSimulator,
  learnt: modbusLearnt,
  recording: modbusRecording,
};
