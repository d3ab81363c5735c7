import type { Device, DriverContext } from "../../../gateway/core/driver.ts";
import type { LearntKey, LearntStore } from "../../../gateway/core/learnt.ts";
import { type LinkOptions, readDevice } from "../options.ts";
import { ProbeTokens } from "./budget.ts";
import { Learner } from "./learner.ts";

/** Drivers come and go with connections; what their link's units taught stays. */
const links = new WeakMap<LearntStore, Map<string, Learners>>();

/** The learners of one link. */
export class Learners {
  readonly #options: LinkOptions;
  readonly #context: DriverContext;
  readonly #tokens = new ProbeTokens();
  readonly #byIdentity = new Map<string, Learner>();
  readonly #byDevice = new WeakMap<Device, { readonly learner: Learner | undefined }>();

  constructor(options: LinkOptions, context: DriverContext) {
    this.#options = options;
    this.#context = context;
  }

  /** Those of the link; its own where the context keeps nothing. */
  static of(options: LinkOptions, context: DriverContext): Learners {
    const { learnt, link } = context;
    if (!learnt) return new Learners(options, context);
    const byLink = links.get(learnt) ?? new Map<string, Learners>();
    links.set(learnt, byLink);
    const name = `${link} ${whereOf(options)}`;
    const found = byLink.get(name) ?? new Learners(options, context);
    byLink.set(name, found);
    return found;
  }

  /** Undefined where the device is not to learn. @throws ConfigError when its options never went through the schema. */
  of(device: Device): Learner | undefined {
    const known = this.#byDevice.get(device) ?? { learner: this.#find(device) };
    this.#byDevice.set(device, known);
    return known.learner;
  }

  #find(device: Device): Learner | undefined {
    const { unit, learn } = readDevice(device.options);
    if (!learn) return undefined;
    const { clock, link, learnt } = this.#context;
    const identity = identityOf(this.#options, unit);
    const known = this.#byIdentity.get(`${device.name} ${identity}`);
    if (known) return known;
    const key: LearntKey = { driver: "modbus", link, device: device.name, identity };
    const learner = new Learner({
      saved: learnt?.load(key),
      save: (content) => learnt?.save(key, content),
      tokens: this.#tokens,
      nowMs: () => clock.now().monoMs,
    });
    learnt?.onReset(key, () => learner.forget());
    this.#byIdentity.set(`${device.name} ${identity}`, learner);
    return learner;
  }

  reconnected(): void {
    for (const learner of this.#byIdentity.values()) learner.reconnected();
  }
}

/** How the unit is reached. Speed and parity are not part of it: a line may be set up anew with the same units. */
function identityOf(options: LinkOptions, unit: number): string {
  return `${whereOf(options)} unit ${unit}`;
}

function whereOf({ transport }: LinkOptions): string {
  return `${transport.type} ${"path" in transport ? transport.path : `${transport.host}:${transport.port}`}`;
}
