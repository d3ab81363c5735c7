import type { DriverModule } from "../gateway/core/driver.ts";
import { modbusModule } from "./modbus/module.ts";
import { serialModule } from "./serial/module.ts";
import { simulatedModule } from "./simulated/module.ts";

/** Every driver there is; the only file that knows them all. */
export const driverModules: readonly DriverModule[] = [modbusModule, serialModule, simulatedModule];
