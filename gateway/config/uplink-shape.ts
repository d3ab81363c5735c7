import { uplinkShape as shape } from "../core/options/uplink.ts";
import { encoderInput } from "../northbound/index.ts";

/** As they are written, for documentation and editors: keys that every kind of uplink shares; a kind's own keys are merged in beside them. */
export const uplinkShape = { ...shape, encoder: encoderInput } as const;
