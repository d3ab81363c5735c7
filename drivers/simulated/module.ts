import type { DriverModule } from "../../gateway/core/driver.ts";
import { checkLink } from "./check.ts";
import { SimulatedDriver } from "./driver.ts";
import { deviceSchema, linkSchema, readLink, readTag, tagSchema } from "./options.ts";

/** A plant in software, for a first run without hardware. */
export const simulatedModule: DriverModule = {
  name: "simulated",
  linkSchema,
  deviceSchema,
  tagSchema,
  check: checkLink,
  typeOf: (tagOptions) => readTag(tagOptions, "?").type,
  create: (linkOptions, context) => new SimulatedDriver(readLink(linkOptions), context),
};
