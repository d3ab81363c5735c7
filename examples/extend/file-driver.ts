import { readFile } from "node:fs/promises";
import { z } from "zod";
import type { Device, Driver, DriverContext, DriverModule, Request, Tag } from "../../gateway/core/driver.ts";
import { ConfigError, messageOf, NotConnectedError } from "../../gateway/core/errors.ts";
import type { Sample } from "../../gateway/core/sample.ts";

/** Numbers from files, such as those of the kernel under /sys: temperatures, voltages, counters. */
const linkSchema = z.strictObject({});
const deviceSchema = z.strictObject({});
const tagSchema = z.strictObject({
  path: z.string().min(1).describe("File that holds one number as text."),
  type: z.literal("float64").default("float64").describe("Type of the value."),
});

class FileDriver implements Driver {
  readonly concurrency = 1;
  readonly #context: DriverContext;
  #connected = false;

  constructor(context: DriverContext) {
    this.#context = context;
  }

  plan(device: Device, tags: readonly Tag[]): Request[] {
    for (const tag of tags) pathOf(tag);
    return tags.length === 0 ? [] : [{ device, tags, label: `${tags.length} files`, wireMs: 0 }];
  }

  async connect(signal: AbortSignal): Promise<void> {
    await Promise.resolve();
    signal.throwIfAborted();
    this.#connected = true;
  }

  async read({ tags }: Request, signal: AbortSignal): Promise<Sample[]> {
    if (!this.#connected) throw new NotConnectedError("not connected");
    signal.throwIfAborted();
    return await Promise.all(tags.map(async (tag) => await this.#sample(tag, signal)));
  }

  async close(): Promise<void> {
    await Promise.resolve();
    this.#connected = false;
  }

  /** What a file cannot give is a bad sample with a reason, not an error: the others are still good. */
  async #sample(tag: Tag, signal: AbortSignal): Promise<Sample> {
    const text = await readFile(pathOf(tag), { encoding: "utf8", signal }).catch(messageOf);
    const value = text.trim() === "" ? Number.NaN : Number(text);
    const { monoMs } = this.#context.clock.now();
    if (Number.isFinite(value)) return { tag: tag.name, quality: "good", value, monoMs };
    return { tag: tag.name, quality: "bad", reason: text.trim().slice(0, 80) || "empty", monoMs };
  }
}

function pathOf(tag: Tag): string {
  const options = tagSchema.safeParse(tag.options);
  if (!options.success) throw new ConfigError(`tag "${tag.name}": path is missing`);
  return options.data.path;
}

export const fileModule: DriverModule = {
  name: "file",
  linkSchema,
  deviceSchema,
  tagSchema,
  check: () => [],
  typeOf: () => "float64",
  create: (_link, context) => new FileDriver(context),
};
