import { ConfigFaults } from "../config/faults.ts";
import { layerOf } from "../config/profiles/layers.ts";
import { findProfile, listProfiles, shelvesOf } from "../config/profiles/library.ts";
import { type Parameter, type Profile, readProfile } from "../config/profiles/profile-file.ts";
import { asCommand, type CliIo, EXIT, parseCommand, UsageError } from "./io.ts";
import { table } from "./table.ts";

const HELP = `millrace profile - device profiles: tags once, devices many

Usage: millrace profile list [TEXT] [--json]
       millrace profile show VENDOR/MODEL [--json]

  list                 all profiles, or those with TEXT in their name, model or description
  show                 what it is, where its addresses come from, its parameters and its tags
  --json               as JSON
  -h, --help           this text

Looked for in profiles/ of the working folder first, then in the library. A device takes one with "profile: vendor/model".
Exit codes: 0 done, 1 there is none, 64 usage, 78 the profile is wrong.

Example: millrace profile show eastron/sdm120
`;

/** `millrace profile`. */
export function runProfile(args: string[], io: CliIo): Promise<number> {
  return asCommand("profile", io, async () => {
    const { values, positionals } = parseCommand(args, {
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    });
    const [action, what, ...more] = positionals;
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    if (more.length > 0) throw new UsageError("one name at a time");
    try {
      if (action === "list") return await list(what, values.json === true, io);
      if (action === "show" && what !== undefined) return await show(what, values.json === true, io);
    } catch (error) {
      if (!(error instanceof ConfigFaults)) throw error;
      io.err(`${error.message}\n`);
      return EXIT.config;
    }
    throw new UsageError("say list, or show VENDOR/MODEL");
  });
}

async function list(text: string | undefined, json: boolean, io: CliIo): Promise<number> {
  const all = await listProfiles(await shelvesOf(io.cwd));
  const read = await Promise.all(all.map((found) => readProfile(found, found.file)));
  const wanted = read.filter(
    ({ name, vendor, model, description }) =>
      text === undefined || [name, vendor, model, description].join(" ").toLowerCase().includes(text.toLowerCase()),
  );
  if (json) io.out(`${JSON.stringify(wanted.map(summary), null, 2)}\n`);
  else if (wanted.length > 0) {
    const rows = wanted.map((profile) => [
      profile.name,
      profile.model ?? "",
      profile.description ?? "",
      whence(profile),
    ]);
    io.out(`${table(rows)}\n`);
  } else io.err(`millrace profile: no profile has "${text}"; see: millrace profile list\n`);
  return wanted.length === 0 ? EXIT.no : EXIT.ok;
}

async function show(name: string, json: boolean, io: CliIo): Promise<number> {
  const found = await findProfile(name, await shelvesOf(io.cwd));
  if (!found) {
    io.err(`millrace profile: there is no profile "${name}"; see: millrace profile list\n`);
    return EXIT.no;
  }
  const profile = await readProfile(found, found.file);
  io.out(json ? `${JSON.stringify({ ...summary(profile), tags: tagsOf(profile) }, null, 2)}\n` : described(profile));
  return EXIT.ok;
}

function summary(profile: Profile) {
  const { name, origin, file, vendor, model, description, driver, sources, link, parameters, keys } = profile;
  const about = { name, origin, file, vendor, model, description, driver };
  return { ...about, source: sources, link, parameters: Object.fromEntries(parameters), ...keys };
}

function described(profile: Profile): string {
  const { name, vendor, model, description, sources, link, parameters, keys } = profile;
  const hints = Object.entries(link).map(([key, value]) => `${key} ${value}`);
  const limits = Object.entries(keys).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  const lines = [
    `${name}  ${[vendor, model].filter((part) => part !== undefined).join(" ")}`,
    ...(description === undefined ? [] : [description]),
    `file: ${profile.file} (${whence(profile)})`,
    ...sources.map(({ document, revision, url, via }) =>
      [`source: ${document}`, revision, url, via && `through ${via}`].filter((part) => part !== undefined).join(", "),
    ),
    ...(hints.length === 0 ? [] : [`leaves the factory with ${hints.join(", ")}`]),
    ...limits,
    ...[...parameters].map(([key, parameter]) => `parameter ${key}${parameterText(parameter)}`),
  ];
  return `${lines.join("\n")}\n\n${table(tagRows(profile))}\n\nuse it:  - { name: my-device, unit: 1, profile: ${name}${given(profile)} }\n`;
}

function parameterText({ default: standard, description, min, max, oneOf }: Parameter): string {
  const range = [min === undefined ? "" : `from ${min}`, max === undefined ? "" : `to ${max}`].filter(
    (part) => part !== "",
  );
  const notes = [
    standard === undefined ? "needed" : `default ${JSON.stringify(standard)}`,
    ...(range.length === 0 ? [] : [range.join(" ")]),
    ...(oneOf === undefined ? [] : [`one of ${oneOf.join(", ")}`]),
  ];
  return ` (${notes.join(", ")})${description === undefined ? "" : `: ${description}`}`;
}

/** What a device has to say at least. */
function given({ parameters }: Profile): string {
  const needed = [...parameters].filter(([, parameter]) => parameter.default === undefined);
  return needed.length === 0 ? "" : `, parameters: { ${needed.map(([name]) => `${name}: …`).join(", ")} }`;
}

/** With the defaults of its parameters; as it is written where one is needed. */
function tagsOf(profile: Profile): readonly unknown[] {
  const layer = layerOf(profile, {}, () => {});
  return layer ? layer.lists.tags.map(({ value }) => value) : profile.lists.tags;
}

function tagRows(profile: Profile): string[][] {
  const cell = (tag: unknown, key: string): string => {
    const value: unknown =
      typeof tag === "object" && tag !== null ? Object.entries(tag).find(([own]) => own === key)?.[1] : "";
    return value === undefined ? "" : String(value);
  };
  const keys = ["name", "address", "type", "order", "scale", "scaleFactor", "unit", "every"];
  const rows = tagsOf(profile).map((tag) => keys.map((key) => cell(tag, key)));
  const used = keys.filter((_key, column) => rows.some((row) => row[column] !== ""));
  return [used, ...rows.map((row) => row.filter((_cell, column) => used.includes(keys[column] ?? "")))];
}

function whence({ origin }: Profile): string {
  return origin === "library" ? "library" : "profiles/";
}
