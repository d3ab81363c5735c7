import type { DriverModule } from "../../gateway/core/driver.ts";
import { checkLink } from "./check.ts";
import { SerialDriver } from "./driver.ts";
import { deviceSchema, linkSchema, readLink, readTag, tagSchema } from "./options.ts";
import { serialRecording } from "./recording/module.ts";
import { serialSimulator } from "./simulator/simulator.ts";

/** Devices that speak unasked or are asked by a text: scales, barcode and RFID readers, printers, sensors. */
export const serialModule: DriverModule = {
  name: "serial",
  linkSchema,
  deviceSchema,
  tagSchema,
  check: checkLink,
  typeOf: (tagOptions) => readTag(tagOptions, "?").type,
  create: (linkOptions, context) => new SerialDriver(readLink(linkOptions), context),
  simulator: serialSimulator,
  recording: serialRecording,
};
