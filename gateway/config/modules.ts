import { driverModules } from "../../drivers/index.ts";
import { uplinkModules } from "../northbound/index.ts";

/** Everything that `driver:` and `type:` can name in this build. */
export { driverModules, uplinkModules };
