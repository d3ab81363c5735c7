import { dirname, resolve } from "node:path";
import { checkAccept } from "./accept.ts";
import {
  checkBacklogs,
  checkCapture,
  checkDataDir,
  checkHttp,
  checkPorts,
  checkQueue,
  checkTelemetry,
  warnOfOddities,
} from "./cross.ts";
import { isRecord, missing, unknownKey } from "./explain.ts";
import { checkExternal, readBroker } from "./external-broker.ts";
import { ConfigFaults, Faults, pathText } from "./faults.ts";
import { readLinks } from "./links.ts";
import { checkBroker, checkBrokerFiles } from "./local-broker.ts";
import { driverModules, uplinkModules } from "./modules.ts";
import { planLink } from "./plan.ts";
import { expandProfiles } from "./profiles/expand.ts";
import { Mounts } from "./profiles/mounts.ts";
import { readRecipes } from "./recipes.ts";
import { checkSecrets, checkTlsFiles, secretsIn } from "./secrets.ts";
import { sections } from "./section-schemas.ts";
import { parseWith } from "./sections.ts";
import { readSource } from "./source.ts";
import type { ConfigDeps, LoadedConfig } from "./types.ts";
import { checkUplinkTopics } from "./uplink-topics.ts";
import { checkTopicReach, readUplinks } from "./uplinks.ts";
import { type ParsedYaml, parseYaml } from "./yaml.ts";

export type { LoadedConfig } from "./types.ts";

const KEYS = [
  "gateway",
  "broker",
  "capture",
  "commands",
  "recipes",
  "queue",
  "links",
  "uplinks",
  "http",
  "telemetry",
] as const;

/**
 * Reads and checks a configuration file. No device and no network is touched; drivers plan their requests.
 * @throws ConfigFaults (a ConfigError) with every fault at once: one line each, `file:line:column: path: what; cure`.
 */
export async function loadConfig(file: string, deps: ConfigDeps = {}): Promise<LoadedConfig> {
  const absolute = deps.cwd === undefined ? resolve(file) : resolve(deps.cwd, file);
  return await checkText(await readSource(absolute, file), file, dirname(absolute), deps);
}

/**
 * As `loadConfig`, of a text that is not in the file yet; `file` is only named, `folder` is what relative names start from.
 * @throws ConfigFaults.
 */
export async function checkText(text: string, file: string, folder: string, deps: ConfigDeps): Promise<LoadedConfig> {
  const yaml = parseYaml(text);
  const mounts = new Mounts(yaml.locate);
  const faults = new Faults(file, mounts.locate);
  const root = rootOf(yaml, file, faults);
  const gateway = "gateway" in root ? parseWith(sections.gateway, root["gateway"], ["gateway"], faults) : undefined;
  const broker = readBroker(root["broker"], faults);
  const capture = parseWith(sections.capture, root["capture"], ["capture"], faults);
  const commands = parseWith(sections.commands, root["commands"], ["commands"], faults);
  const recipeList = parseWith(sections.recipes, root["recipes"], ["recipes"], faults);
  const queue = parseWith(sections.queue, root["queue"], ["queue"], faults);
  const http = parseWith(sections.http, root["http"], ["http"], faults);
  const telemetry = parseWith(sections.telemetry, root["telemetry"], ["telemetry"], faults);
  const id = gateway?.id ?? "gateway";
  const expanded = await expandProfiles(root["links"], { folder, faults, mounts });
  const drafts = "links" in root ? readLinks(expanded.links, deps.drivers ?? driverModules, id, faults) : [];
  const uplinks = "uplinks" in root ? readUplinks(root["uplinks"], deps.uplinks ?? uplinkModules, id, faults) : [];
  if (broker !== undefined) checkBroker(broker, faults);
  checkPorts(broker, http, faults);
  checkHttp(http, faults);
  checkTelemetry(telemetry, faults);
  if (capture !== undefined) checkCapture(capture, faults);
  if (queue !== undefined) checkQueue(queue, faults);
  if (queue !== undefined) checkBacklogs(uplinks, queue, faults);
  const dataDir = resolve(folder, gateway?.dataDir ?? ".");
  await checkDataDir(dataDir, faults);
  const learnt = await deps.learnt?.(dataDir);
  const links = (await Promise.all(drafts.map((draft) => planLink(draft, faults, learnt)))).filter(
    (link) => link !== undefined,
  );
  checkUplinkTopics(uplinks, links, id, faults);
  const known = links.length === drafts.length && recipeList !== undefined;
  const recipes = known ? readRecipes(recipeList, links, faults) : [];
  if (capture !== undefined && commands !== undefined) checkAccept(uplinks, links, capture, commands, id, faults);
  faults.throwIfAny();
  if (!gateway || !broker || !capture || !commands || !queue || !http || !telemetry)
    throw new Error("a section is missing without a fault");
  checkTopicReach(links, uplinks, gateway.id, faults);
  checkExternal(broker, { capture, uplinks, gatewayId: gateway.id }, faults);
  faults.throwIfAny();
  warnOfOddities(links, uplinks, capture, faults);
  const secrets = uplinks.flatMap(({ module, options }, index) =>
    secretsIn(module.schema, options, ["uplinks", index]),
  );
  const local = secretsIn(sections.broker, broker, ["broker"]);
  await checkSecrets([...secrets, ...local], folder, deps.env, faults);
  await checkBrokerFiles(broker, folder, faults);
  await checkTlsFiles(broker.external, ["broker", "external"], folder, faults);
  await checkTlsFiles(http, ["http"], folder, faults);
  for (const [index, { options }] of uplinks.entries())
    await checkTlsFiles(options, ["uplinks", index], folder, faults);
  return {
    file,
    folder,
    given: { ...root, ...("links" in root ? { links: expanded.links } : {}) },
    gateway: { ...gateway, dataDir },
    broker,
    capture,
    commands,
    recipes,
    queue,
    links,
    uplinks,
    http,
    telemetry,
    profiles: expanded.used,
    warnings: faults.warnings(),
    position: yaml.locate,
  };
}

/** The top-level mapping; its unknown keys are added to `faults`. @throws ConfigFaults when there is none. */
function rootOf(yaml: ParsedYaml, file: string, faults: Faults): Record<string, unknown> {
  const stop = yaml.faults.map(({ position, path, message }) => ({ file, ...position, path: pathText(path), message }));
  if (yaml.value === undefined && stop.length > 0) throw new ConfigFaults(stop);
  const root = yaml.value;
  if (!isRecord(root)) {
    const message = "must be a mapping of sections; begin with: gateway: { id: my-gateway }";
    throw new ConfigFaults([{ file, ...faults.position([]), path: "", message }]);
  }
  for (const { path, message } of yaml.faults) {
    const key = String(path.at(-1));
    faults.addKey(path.slice(0, -1), key, message);
  }
  for (const key of Object.keys(root)) {
    if (!KEYS.some((known) => known === key)) faults.addKey([], key, unknownKey([], key, KEYS));
  }
  if (!Object.hasOwn(root, "gateway"))
    faults.addMissing([], "gateway", `${missing("gateway")}; write: gateway: { id: my-gateway }`);
  return root;
}
