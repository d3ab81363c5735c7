// Loaded before `millrace run` (--import): on SIGUSR2 something in the process stands still, as MILLRACE_TEST_FAULT says.
//   loop    the event loop
//   uplink  every MQTT uplink: neither sends, nor answers, nor closes
//   link    every Modbus driver: no read ends, and no abort is heeded
import { driverModules } from "../../../dist/drivers/index.js";
import { uplinkModules } from "../../../dist/gateway/northbound/index.js";

const fault = process.env["MILLRACE_TEST_FAULT"];
let wedged = false;
const never = () => new Promise(() => {});

process.on("SIGUSR2", () => {
  wedged = true;
  if (fault === "loop") for (;;);
});

/** The same module, whose objects never end these calls once they are wedged. */
function replace(modules, name, calls, more = {}) {
  const at = modules.findIndex((module) => module.name === name);
  const real = modules[at];
  const create = (...args) => {
    const made = real.create(...args);
    const get = (_target, key) => {
      if (wedged && calls.includes(key)) return never;
      if (key in more) return more[key];
      const value = made[key];
      return typeof value === "function" ? value.bind(made) : value;
    };
    return new Proxy(made, { get });
  };
  modules[at] = Object.assign(Object.create(real), { create });
}

if (fault === "uplink") replace(uplinkModules, "mqtt", ["send", "close"]);
if (fault === "link") replace(driverModules, "modbus", ["read", "probe"], { callLimitMs: 500 });
