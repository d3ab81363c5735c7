import type { UplinkModule } from "../core/uplink.ts";
import { mqttModule } from "./mqtt/module.ts";

/** Every kind of uplink; the only file that knows them all. */
export const uplinkModules: readonly UplinkModule[] = [mqttModule];
