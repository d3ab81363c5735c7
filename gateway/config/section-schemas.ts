import { brokerOptions, captureOptions } from "../core/options/broker.ts";
import { commandOptions } from "../core/options/commands.ts";
import { type GatewayOptions, gatewayOptions } from "../core/options/gateway.ts";
import { httpOptions } from "../core/options/http.ts";
import { queueOptions } from "../core/options/queue.ts";
import { recipeOptions } from "../core/options/recipes.ts";
import { telemetryOptions } from "../core/options/telemetry.ts";

export type { GatewayOptions };

/** The sections with a fixed schema; `links` and `uplinks` depend on the modules they name. */
export const sections = {
  gateway: gatewayOptions,
  broker: brokerOptions.prefault({}),
  capture: captureOptions,
  commands: commandOptions.prefault({}),
  recipes: recipeOptions,
  queue: queueOptions.prefault({}),
  http: httpOptions.prefault({}),
  telemetry: telemetryOptions.prefault({}),
} as const;
